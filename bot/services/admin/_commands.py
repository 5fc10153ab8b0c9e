"""What administrators see and do. Each act is noted before it is done, so that nothing is done unseen."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.core.accounts import (
    PICTURE_QUOTA_PERIOD,
    TRAINING_QUOTA_PERIOD,
    AccountId,
    Identity,
    Platform,
    Quota,
    Role,
)
from bot.core.errors import UserError
from bot.core.jobs import PAUSED_SWITCH
from bot.core.loras import Lora, format_code, parse_code
from bot.core.messages import Reply, Request
from bot.services.access import compute_quota, get_role
from bot.services.accounts import delete_erased_data
from bot.services.context import ServiceContext
from bot.texts import translate, use_language
from bot.texts.admin.commands import (
    BROADCAST_WHAT,
    HOW_TO_QUOTA,
    NO_SUCH_CODE,
    NO_SUCH_PERSON,
    NOT_AN_ADMIN,
    NOT_BANNED,
    PAUSED,
    RESUMED,
    WHICH_PERSON,
    broadcast_started,
    drain_started,
    invitation_created,
    lora_taken_down,
    person_banned,
    person_unbanned,
    quota_status,
)

INVITATION_DAYS = 7
#: What Discord takes in one message, with room for whom it is addressed to.
MAX_BROADCAST_CHARS = 1800
#: Of an entry word: without letters and digits that look like others.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_TOKEN_CHARS = 8
_MAX_QUOTA = 100_000


@dataclass(frozen=True, slots=True)
class _CommandTarget:
    """Whom a command is about; somebody who was never here has no account."""

    identities: tuple[Identity, ...]
    account: AccountId | None


class AdminService:
    """The commands of administrators."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def pause(self, request: Request) -> Reply:
        """Start no further job; what runs goes on."""
        await self._context.database.monitoring.set_switch(PAUSED_SWITCH, is_on=True)
        return Reply(PAUSED)

    async def resume(self, request: Request) -> Reply:
        """Start jobs again."""
        await self._context.database.monitoring.set_switch(PAUSED_SWITCH, is_on=False)
        self._context.queue.wake()
        return Reply(RESUMED)

    async def drain(self, request: Request) -> Reply:
        """Finish what runs, then stop the bot."""
        self._context.queue.request_shutdown()
        return drain_started(len(await self._context.database.jobs.list_running()))

    async def ban(self, request: Request) -> Reply:
        """Close the bot to a person and stop their jobs."""
        target = await self._require_target(request.text.strip())
        if not self._context.rules.admins.isdisjoint(target.identities):
            raise UserError(NOT_AN_ADMIN)
        await self._context.database.access.ban(target.identities)
        jobs = (
            []
            if target.account is None
            else await self._context.database.jobs.list_open_for_account(target.account)
        )
        for job in jobs:
            photo_hashes = await self._context.database.photos.list_job_hashes(job.id)
            if await self._context.database.jobs.cancel(job.id) is not None:
                await self._context.queue.abort_job(job.id)
                self._context.forget_photos(photo_hashes)
        return person_banned(target.identities, len(jobs))

    async def unban(self, request: Request) -> Reply:
        """Open the bot to a person again."""
        target = await self._require_target(request.text.strip())
        if not await self._context.database.access.unban(target.identities):
            raise UserError(NOT_BANNED)
        return person_unbanned(target.identities)

    async def show_quota(self, request: Request) -> Reply:
        """Return the reply that shows what a person may ask for; with numbers or a role, change it first."""
        target_text, *new_values = _split_target(request.text)
        target = await self._require_target(target_text)
        if target.account is None:
            raise UserError(NO_SUCH_PERSON)
        await self._set_quota(target.account, new_values)
        database, now = self._context.database, self._context.clock()
        access_status = await database.access.get_access_status(target.identities[0])
        usage = (
            await database.access.count_trainings_since(target.account, now - TRAINING_QUOTA_PERIOD),
            await database.access.count_pictures_since(target.account, now - PICTURE_QUOTA_PERIOD),
        )
        access_status = replace(
            access_status, role=get_role(self._context, access_status, target.identities[0])
        )
        return quota_status(
            target.identities,
            access_status,
            compute_quota(self._context, target.identities, access_status),
            usage,
        )

    async def _set_quota(self, account: AccountId, new_values: list[str]) -> None:
        match new_values:
            case []:
                return
            case [role] if role in set(Role):
                await self._context.database.access.set_role(account, Role(role))
            case [trainings, pictures]:
                quota_override = Quota(_parse_limit(trainings), _parse_limit(pictures))
                await self._context.database.access.set_quota(account, quota_override)
            case _:
                raise UserError(HOW_TO_QUOTA)

    async def take_down(self, request: Request) -> Reply:
        """Delete a LoraCode with all that was generated with it."""
        text = request.text.strip()
        lora = await self._require_lora(text)
        async with self._context.locks.get_lock(lora.account):
            lora = await self._require_lora(text)  # it may have gone while we waited
            owner_identities = await self._context.database.accounts.list_identities(lora.account)
            erasure = await self._context.database.privacy.erase_lora(lora.code)
            await delete_erased_data(self._context, erasure)
        for owner in owner_identities[:1]:
            with use_language(await self._context.database.accounts.get_language(owner)):
                message = translate("your-code-was-taken-down", code=format_code(lora.code))
            await self._context.database.outbox.add_direct_messages([owner], message)
        self._context.direct_messages.wake()
        return lora_taken_down(lora.code, len(erasure.pictures), len(erasure.jobs))

    async def _require_lora(self, text: str) -> Lora:
        code = parse_code(text)
        lora = None if code is None else await self._context.database.loras.get_by_code(code)
        if lora is None:
            raise UserError(NO_SUCH_CODE)
        return lora

    async def broadcast(self, request: Request) -> Reply:
        """Write to everybody."""
        text = request.text.strip()
        if not text or len(text) > MAX_BROADCAST_CHARS:
            raise UserError(BROADCAST_WHAT.format(most=MAX_BROADCAST_CHARS))
        recipient_count = await self._context.database.outbox.add_broadcast(text, request.idempotency_key)
        self._context.direct_messages.wake()
        return broadcast_started(recipient_count)

    async def invite(self, request: Request) -> Reply:
        """Make a word that lets one person in."""
        token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_CHARS))
        expires_at = self._context.clock() + timedelta(days=INVITATION_DAYS)
        await self._context.database.access.save_invite_token(token, expires_at)
        return invitation_created(token, INVITATION_DAYS)

    async def _require_target(self, text: str) -> _CommandTarget:
        """Read whom a command is about: an identity, or the owner of a LoraCode. UserError when nobody is."""
        database = self._context.database
        code = parse_code(text)
        if code is not None:
            lora = await database.loras.get_by_code(code)
            if lora is None:
                raise UserError(NO_SUCH_CODE)
            return _CommandTarget(tuple(await database.accounts.list_identities(lora.account)), lora.account)
        platform, _, user_id = text.partition(":")
        if platform not in set(Platform) or not user_id.isascii() or not user_id.isalnum():
            raise UserError(WHICH_PERSON)
        identity = Identity(Platform(platform), user_id)
        account = await database.accounts.find_by_identity(identity)
        return _CommandTarget(
            (identity,) if account is None else tuple(await database.accounts.list_identities(account)),
            account,
        )


def _split_target(text: str) -> list[str]:
    """Split what stands after `/quota`; a LoraCode may be written as four and four digits."""
    parts = text.split()
    if len(parts) > 1 and all(len(each) == 4 and each.isdigit() for each in parts[:2]):
        parts[:2] = ["".join(parts[:2])]
    return parts or [""]


def _parse_limit(text: str) -> int | None:
    if text == "-":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_QUOTA:
        raise UserError(HOW_TO_QUOTA)
    return int(text)
