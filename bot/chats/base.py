"""The entry of every request: language, access, errors and the limit of wrong codes are applied here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from bot.chats.actions import route_action
from bot.chats.commands import Command
from bot.core.accounts import Identity
from bot.core.errors import ReferenceGone, UnknownCode, UserError
from bot.core.logging import log_context
from bot.core.messages import Reply, Request, RequestState, UseCase
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import translate, use_language

log = logging.getLogger(__name__)
#: Nobody waits longer for a language: that of their app will do.
LANGUAGE_TIMEOUT_S = 1.0


async def handle(
    services: Services, use_case: UseCase, request: Request, level: AccessLevel = AccessLevel.PERSON
) -> Reply:
    """Return the reply of a use case, the sentence of a refusal, or an apology for what was not expected."""
    language = request.identity.locale
    with log_context():
        try:
            state = await services.access.read_state(request.identity)
            language = get_language(request.identity, state)
            with use_language(language):
                try:
                    reply = await _run(services, use_case, request, state, level)
                except ReferenceGone:  # such as an account that was linked to another while this was read
                    log.info("a request is carried out again: what it refers to has moved")
                    state = await services.access.read_state(request.identity)
                    reply = await _run(services, use_case, request, state, level)
        except Exception:
            log.exception("a request failed")  # logged first, in case the apology fails too
            with use_language(language):
                reply = Reply(translate("apology"))
    return reply if reply.language else replace(reply, language=language)


async def _run(
    services: Services, use_case: UseCase, request: Request, state: RequestState, level: AccessLevel
) -> Reply:
    try:
        request = await services.access.admit(request, state, level)
        if request.command and state.account_state is not None:
            await services.messages.end_questions(state.account_state)
        reply = await use_case(request)
        await services.messages.note_question(request, state, reply)
        return reply
    except UnknownCode as error:
        is_allowed = services.access.record_wrong_code(request.account)
        return Reply(error.message if is_allowed else translate("too-many-wrong-codes"), is_refusal=True)
    except UserError as error:
        return Reply(error.message, is_refusal=True)


async def handle_command(services: Services, command: Command, request: Request) -> Reply:
    """Return the reply to a command."""
    request = replace(request, command=command.name)
    return await handle(services, command.use_case(services), request, command.level)


async def handle_action(services: Services, action: str, request: Request) -> Reply:
    """Return the reply to a button."""
    routed_action, request = route_action(action, request)
    return await handle(services, routed_action.use_case(services), request, routed_action.level)


@asynccontextmanager
async def enter(services: Services, request: Request) -> AsyncIterator[Request]:
    """Yield the admitted request in its person's language, for what is not answered with a Reply.

    Raise UserError for somebody who may not use the bot.
    """
    state = await services.access.read_state(request.identity)
    with log_context(), use_language(get_language(request.identity, state)):
        yield await services.access.admit(request, state, AccessLevel.PERSON)


def get_language(identity: Identity, state: RequestState) -> str:
    """Return the language a person chose, else the locale that their app told last."""
    account_state = state.account_state
    if account_state is None:
        return identity.locale
    return account_state.preferences.language or identity.locale or account_state.stored_locale


@asynccontextmanager
async def use_language_of(
    services: Services, identity: Identity, timeout_s: float = LANGUAGE_TIMEOUT_S
) -> AsyncIterator[str]:
    """Speak a person's language inside the block, and yield it."""
    try:
        async with asyncio.timeout(timeout_s):
            language = get_language(identity, await services.access.read_state(identity))
    except Exception:
        log.exception("a language could not be looked up")  # what is asked for will be answered all the same
        language = identity.locale
    with log_context(), use_language(language):
        yield language
