"""Who is let in, and how much they may ask for. Administrators are always let in, without limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from bot import texts
from bot.core.accounts import AccessMode, AccessStatus, AccountId, ChatAddress, Identity, Quota, Role
from bot.core.errors import UserError
from bot.core.jobs import Job, estimate_job
from bot.core.logging import add_log_context
from bot.services.context import ServiceContext

ONE_DAY, ONE_HOUR = timedelta(days=1), timedelta(hours=1)
#: Of a full line: so many jobs are asked when they end; told when none of them knows; never told less.
_MAX_ESTIMATES, _DEFAULT_WAIT_S, _MIN_WAIT_S = 5, 600.0, 60.0


class AccessPolicy:
    """Looks at everybody who asks for something."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def require_account(self, identity: Identity, is_linking: bool = False) -> AccountId:
        """Give the account of whoever may use the bot; UserError says why somebody else may not.

        `is_joining` is for a member who comes on another platform, where they are not known yet.
        """
        rules, database = self._context.rules, self._context.database
        if identity not in rules.admins:
            access_status = await database.get_access_status(identity)
            if access_status.is_banned:
                raise UserError(texts.BANNED)
            is_guest = get_role(self._context, access_status, identity) is Role.GUEST
            is_closed = rules.access is not AccessMode.OPEN and is_guest and not is_linking
            if is_closed and not await self._is_listed(identity):
                raise UserError(_refusal_text(rules.access, identity))
        account = await database.get_or_create(identity)
        add_log_context(account=account)
        return account

    async def _is_listed(self, identity: Identity) -> bool:
        """Say whether the settings name somebody as they are known on another platform."""
        account = await self._context.database.find_by_identity(identity)
        identities = [] if account is None else await self._context.database.list_identities(account)
        return not (self._context.rules.admins | self._context.rules.allow_list).isdisjoint(identities)

    async def redeem_invite_token(self, identity: Identity, text: str) -> bool:
        """Let somebody in by the word they wrote, where there are such words; False when it is none."""
        token = text.strip().upper()
        rules, database = self._context.rules, self._context.database
        if rules.access is not AccessMode.INVITATION or identity in rules.admins or not token.isalnum():
            return False
        access_status = await database.get_access_status(identity)
        if access_status.is_banned or get_role(self._context, access_status, identity) is not Role.GUEST:
            return False
        return await database.redeem_invite_token(await database.get_or_create(identity), token)


async def check_queue_limit(context: ServiceContext, account: AccountId, address: ChatAddress) -> None:
    """UserError, with a time, when there is no room in line: in all, or for one group or channel."""
    rules, database = context.rules, context.database
    if not rules.admins.isdisjoint(await database.list_identities(account)):
        return
    queued_count = sum((await database.count_queued()).values())
    if rules.max_queued_jobs is not None and queued_count >= rules.max_queued_jobs:
        raise UserError(
            texts.queue_full(queued_count, await _estimate_wait_s(context, await database.list_running()))
        )
    if rules.max_chat_jobs is not None and address.is_shared:
        jobs = await database.list_open_in_chat(address, rules.max_chat_jobs)
        if len(jobs) >= rules.max_chat_jobs:
            raise UserError(texts.chat_full(len(jobs), await _estimate_wait_s(context, jobs)))


async def _estimate_wait_s(context: ServiceContext, jobs: Sequence[Job]) -> float:
    """Guess when the first of some jobs ends and leaves its place."""
    now = context.clock()
    etas_s = [(await estimate_job(context.database, job, now)).remaining_s for job in jobs[:_MAX_ESTIMATES]]
    return max(
        _MIN_WAIT_S,
        min(
            (eta_s for eta_s in etas_s if eta_s is not None and math.isfinite(eta_s)), default=_DEFAULT_WAIT_S
        ),
    )


async def check_training_quota(context: ServiceContext, account: AccountId, address: ChatAddress) -> None:
    """UserError when a person has had as many trainings as they may, or there is no room in line."""
    await check_queue_limit(context, account, address)
    limit = (await get_quota(context, account)).trainings_per_day
    if limit is not None:
        used_count = await context.database.count_trainings_since(account, context.clock() - ONE_DAY)
        if used_count >= limit:
            raise UserError(texts.trainings_used_up(limit))


async def check_picture_quota(
    context: ServiceContext, account: AccountId, address: ChatAddress, count: int
) -> None:
    """UserError when so many pictures are more than a person may have, or there is no room in line."""
    await check_queue_limit(context, account, address)
    limit = (await get_quota(context, account)).pictures_per_hour
    if limit is not None:
        used_count = await context.database.count_pictures_since(account, context.clock() - ONE_HOUR)
        if used_count + count > limit:
            raise UserError(texts.pictures_used_up(limit))


async def get_quota(context: ServiceContext, account: AccountId) -> Quota:
    """Give a person's limits: their own ones stand above those of their role."""
    identities = await context.database.list_identities(account)
    if not identities or not context.rules.admins.isdisjoint(identities):
        return Quota()
    access_status = await context.database.get_access_status(identities[0])
    role = max((get_role(context, access_status, identity) for identity in identities), key=list(Role).index)
    role_quota = context.rules.quotas.get(role, Quota())
    quota_override = access_status.quota_override
    return Quota(
        role_quota.trainings_per_day
        if quota_override.trainings_per_day is None
        else quota_override.trainings_per_day,
        role_quota.pictures_per_hour
        if quota_override.pictures_per_hour is None
        else quota_override.pictures_per_hour,
    )


def get_role(context: ServiceContext, access_status: AccessStatus, identity: Identity) -> Role:
    """Tell what somebody is: whom the settings name is a member at least."""
    if access_status.role is Role.GUEST and identity in context.rules.allow_list:
        return Role.MEMBER
    return access_status.role


def _refusal_text(access: AccessMode, identity: Identity) -> str:
    if access is AccessMode.INVITATION:
        return texts.invitation_first(identity.platform)
    return texts.not_on_the_list(identity)
