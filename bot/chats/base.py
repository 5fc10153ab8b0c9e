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
from bot.core.errors import UnknownCode, UserError
from bot.core.logging import log_context
from bot.core.messages import Reply, Request, UseCase
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
    async with use_language_of(services, request.identity) as language:
        try:
            request = await services.access.admit(request, level)
            reply = await use_case(request)
        except UnknownCode as error:
            is_allowed = services.access.record_wrong_code(request.account)
            reply = Reply(error.message if is_allowed else translate("too-many-wrong-codes"), is_refusal=True)
        except UserError as error:
            reply = Reply(error.message, is_refusal=True)
        except Exception:
            log.exception("a request failed")  # logged first, in case the apology fails too
            reply = Reply(translate("apology"))
    return reply if reply.language else replace(reply, language=language)


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
    async with use_language_of(services, request.identity):
        yield await services.access.admit(request, AccessLevel.PERSON)


@asynccontextmanager
async def use_language_of(services: Services, identity: Identity) -> AsyncIterator[str]:
    """Speak a person's language inside the block, and yield it."""
    try:
        async with asyncio.timeout(LANGUAGE_TIMEOUT_S):
            language = await services.access.get_language(identity)
    except Exception:
        log.exception("a language could not be looked up")  # what is asked for will be answered all the same
        language = identity.locale
    with log_context(), use_language(language):
        yield language
