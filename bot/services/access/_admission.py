"""Who may use the bot. Administrators are always let in."""

from __future__ import annotations

import enum
from dataclasses import replace

from bot.core.accounts import (
    AccessMode,
    AccountId,
    Identity,
    Platform,
    Role,
)
from bot.core.errors import UserError
from bot.core.logging import add_log_context
from bot.core.messages import Request, RequestState
from bot.services.access._guesses import CodeGuessLimiter
from bot.services.access._quotas import get_role
from bot.services.context import ServiceContext
from bot.texts import translate

#: How much of the words after an administrator's command is stored.
_MAX_AUDIT_CHARS = 200


class AccessLevel(enum.Enum):
    """Who may ask for something."""

    ANYBODY = enum.auto()  #: also somebody who was banned or never let in; the request has no account
    LINKING = enum.auto()  #: whoever links a platform where the bot does not know them yet
    INVITED = enum.auto()  #: whoever may use the bot, or just wrote a word that lets them in
    PERSON = enum.auto()  #: whoever may use the bot
    ADMIN = enum.auto()  #: administrators; to others there is no such command


class AccessPolicy:
    """Checks who asks, and how often they name codes that are not theirs."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._guess_limiter = CodeGuessLimiter()

    def is_admin(self, identity: Identity) -> bool:
        """Return whether somebody is an administrator."""
        return identity in self._context.rules.admins

    def list_admins(self, platform: Platform) -> list[Identity]:
        """Return the administrators on a platform."""
        return sorted((each for each in self._context.rules.admins if each.platform is platform), key=str)

    async def read_state(self, identity: Identity) -> RequestState:
        """Return all that the database knows of who asks, in one read; remember the locale of their app."""
        state = await self._context.database.access.read_request_state(identity)
        account_state = state.account_state
        if account_state is not None and identity.locale not in ("", account_state.stored_locale):
            await self._context.database.accounts.save_locale(identity)
        return state

    async def admit(self, request: Request, state: RequestState, level: AccessLevel) -> Request:
        """Return the request with its account. Raise UserError for somebody who may not ask for it."""
        if level is AccessLevel.ANYBODY:
            return request
        if level is AccessLevel.ADMIN:
            await self._admit_admin(request)
            return request
        was_invited = level is AccessLevel.INVITED and await self._redeem_invite_token(request, state)
        if not was_invited:
            self._check_access(request.identity, state, level)
        if state.account_state is None:
            await self._context.database.accounts.get_or_create(request.identity)
            state = await self._context.database.access.read_request_state(request.identity)
        request = replace(request, state=state.account_state, was_invited=was_invited)
        add_log_context(account=request.account)
        return request

    async def _admit_admin(self, request: Request) -> None:
        if not self.is_admin(request.identity):
            raise UserError(translate("unknown-command"))
        if request.command != "status":  # which is asked for all the time, and changes nothing
            details = " ".join(request.text.split())[:_MAX_AUDIT_CHARS]
            await self._context.database.monitoring.add_audit_entry(
                request.identity, request.command, details
            )

    def _check_access(self, identity: Identity, state: RequestState, level: AccessLevel) -> None:
        """Raise UserError for somebody who was banned, or was not let in."""
        rules = self._context.rules
        if identity in rules.admins:
            return
        if state.access.is_banned:
            raise UserError(translate("banned"))
        if rules.access is AccessMode.OPEN or level is AccessLevel.LINKING:
            return
        if get_role(self._context, state.access, identity) is not Role.GUEST:
            return
        identities = () if state.account_state is None else state.account_state.identities
        if (rules.admins | rules.allow_list).isdisjoint(identities):  # on no other platform either
            raise UserError(_refusal_text(rules.access, identity))

    async def _redeem_invite_token(self, request: Request, state: RequestState) -> bool:
        """Make somebody a member by the word they wrote; return False when it is no such word."""
        identity, token = request.identity, request.text.strip().upper()
        rules, database = self._context.rules, self._context.database
        if rules.access is not AccessMode.INVITATION or identity in rules.admins or not token.isalnum():
            return False
        is_guest = get_role(self._context, state.access, identity) is Role.GUEST
        if state.access.is_banned or not is_guest:
            return False
        return await database.access.redeem_invite_token(
            await database.accounts.get_or_create(identity), token
        )

    def record_wrong_code(self, account: AccountId) -> bool:
        """Count a code that is not the account's own; return False when it was one too many."""
        return self._guess_limiter.record_wrong_code(account, self._context.clock())


def _refusal_text(access: AccessMode, identity: Identity) -> str:
    if access is AccessMode.INVITATION:
        return translate(f"invitation-first-{identity.platform}")
    return translate("not-on-the-list", identity=str(identity))
