"""How much people may ask for. Administrators have no limits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bot.core.accounts import AccessStatus, Identity, Quota, Role
from bot.core.errors import UserError
from bot.core.jobs import Job, estimate_job
from bot.core.messages import Request, RequestState
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.words import format_duration

#: Of a full line: so many jobs are asked when they end; told when none of them knows; never told less.
_MAX_ESTIMATES, _DEFAULT_WAIT_S, _MIN_WAIT_S = 5, 600.0, 60.0


async def check_queue_limit(context: ServiceContext, request: Request, state: RequestState) -> None:
    """Raise UserError, with a time, when the queue is full: in all, or for one group or channel."""
    rules, database, address = context.rules, context.database, request.address
    if not rules.admins.isdisjoint(_identities(request, state)):
        return
    queued_count = sum(state.queued_counts.values())
    if rules.max_queued_jobs is not None and queued_count >= rules.max_queued_jobs:
        wait_s = await _estimate_wait_s(context, await database.jobs.list_running())
        raise UserError(translate("queue-full", count=queued_count, span=format_duration(wait_s)))
    if rules.max_chat_jobs is not None and address.is_shared:
        jobs = await database.jobs.list_open_in_chat(address, rules.max_chat_jobs)
        if len(jobs) >= rules.max_chat_jobs:
            wait_s = await _estimate_wait_s(context, jobs)
            raise UserError(translate("chat-full", count=len(jobs), span=format_duration(wait_s)))


def _identities(request: Request, state: RequestState) -> Sequence[Identity]:
    return (request.identity,) if state.account_state is None else state.account_state.identities


async def _estimate_wait_s(context: ServiceContext, jobs: Sequence[Job]) -> float:
    """Guess when the first of some jobs ends and leaves its place."""
    now = context.clock()
    etas_s = [
        (await estimate_job(context.database.jobs, job, now)).remaining_s for job in jobs[:_MAX_ESTIMATES]
    ]
    return max(
        _MIN_WAIT_S,
        min(
            (eta_s for eta_s in etas_s if eta_s is not None and math.isfinite(eta_s)), default=_DEFAULT_WAIT_S
        ),
    )


async def check_training_quota(context: ServiceContext, request: Request, state: RequestState) -> None:
    """Raise UserError when a person has had as many trainings as they may, or the queue is full."""
    await check_queue_limit(context, request, state)
    limit = compute_quota(context, _identities(request, state), state.access).trainings_per_day
    if limit is not None and state.account_state is not None and state.account_state.trainings_used >= limit:
        raise UserError(translate("trainings-used-up", most=limit))


async def check_picture_quota(
    context: ServiceContext, request: Request, state: RequestState, count: int
) -> None:
    """Raise UserError when so many pictures are more than a person may have, or the queue is full."""
    await check_queue_limit(context, request, state)
    limit = compute_quota(context, _identities(request, state), state.access).pictures_per_hour
    used_count = 0 if state.account_state is None else state.account_state.pictures_used
    if limit is not None and used_count + count > limit:
        raise UserError(translate("pictures-used-up", most=limit))


def compute_quota(
    context: ServiceContext, identities: Sequence[Identity], access_status: AccessStatus
) -> Quota:
    """Return a person's limits: their own ones stand above those of their role."""
    if not identities or not context.rules.admins.isdisjoint(identities):
        return Quota()
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
    """Return what somebody is: whom the settings name is a member at least."""
    if access_status.role is Role.GUEST and identity in context.rules.allow_list:
        return Role.MEMBER
    return access_status.role
