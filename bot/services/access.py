"""Who may use the bot, how much they may ask for, and what is theirs.

Administrators are always let in, without limits. "No such thing" and "not yours" are one answer from one
look-up. A LoraCode is a name and no key: naming one gives nothing, whoever it belongs to, so the limit of
wrong codes keeps nobody's picture safe; it keeps machines that try numbers from being answered for ever.
"""

from __future__ import annotations

import enum
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.accounts import (
    AccessMode,
    AccessStatus,
    AccountId,
    Identity,
    Platform,
    Quota,
    Role,
)
from bot.core.errors import UnknownCode, UserError
from bot.core.jobs import Job, JobId, JobKind, JobStatus, Picture, estimate_job
from bot.core.logging import add_log_context
from bot.core.loras import Lora, LoraCode, LoraState, format_code
from bot.core.messages import Request, RequestState
from bot.db import Database
from bot.services.context import ServiceContext
from bot.texts import translate
from bot.texts.loras import not_usable
from bot.texts.words import format_duration, format_time_left

#: Of a full line: so many jobs are asked when they end; told when none of them knows; never told less.
_MAX_ESTIMATES, _DEFAULT_WAIT_S, _MIN_WAIT_S = 5, 600.0, 60.0
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


def _refusal_text(access: AccessMode, identity: Identity) -> str:
    if access is AccessMode.INVITATION:
        return translate(f"invitation-first-{identity.platform}")
    return translate("not-on-the-list", identity=str(identity))


log = logging.getLogger(__name__)

#: Wrong codes within an hour: of one account, and of all together.
MAX_PER_ACCOUNT, MAX_IN_TOTAL = 20, 2000
WINDOW = timedelta(hours=1)
_MAX_ACCOUNTS = 10_000  # accounts; the one that was wrong longest ago is forgotten first


class CodeGuessLimiter:
    """Counts wrong codes, in memory: a restart forgives."""

    def __init__(self) -> None:
        self._by_account: OrderedDict[AccountId, deque[datetime]] = OrderedDict()
        self._in_total: deque[datetime] = deque(maxlen=MAX_IN_TOTAL)

    def record_wrong_code(self, account: AccountId, now: datetime) -> bool:
        """Count a wrong code; False when it was one too many."""
        window_start = now - WINDOW
        account_times = self._by_account.setdefault(account, deque(maxlen=MAX_PER_ACCOUNT))
        self._by_account.move_to_end(account)
        while len(self._by_account) > _MAX_ACCOUNTS:
            self._by_account.popitem(last=False)
        for times in (account_times, self._in_total):
            while times and times[0] <= window_start:
                times.popleft()
        is_over_limit = len(account_times) == MAX_PER_ACCOUNT or (
            len(self._in_total) == MAX_IN_TOTAL and bool(account_times)
        )
        if len(account_times) == MAX_PER_ACCOUNT - 1:
            log.warning(
                "account %d named %d codes within an hour that are not its own", account, MAX_PER_ACCOUNT
            )
        if not is_over_limit:
            account_times.append(now)
            self._in_total.append(now)
        return not is_over_limit


async def require_lora(database: Database, account: AccountId, code: LoraCode) -> Lora:
    """Return a Lora of the account; UserError tells a stranger nothing of it."""
    lora = await database.loras.get_by_code(code)
    if lora is None or lora.account != account:
        raise UnknownCode(translate("unknown-code"))
    return lora


async def require_ready_lora(database: Database, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Return a LoRA of the account that can draw. Raise UserError with until when it cannot, or why."""
    return await _require_ready(database, await require_lora(database, account, code), now)


async def require_usable_lora(database: Database, account: AccountId, code: LoraCode, now: datetime) -> Lora:
    """Return a Lora that the account may draw with, its own or a shared one; UserError as above."""
    lora = await database.sharing.get_usable_lora(account, code)
    if lora is None:
        raise UnknownCode(translate("unknown-code"))
    return await _require_ready(database, lora, now)


async def _require_ready(database: Database, lora: Lora, now: datetime) -> Lora:
    code = lora.code
    if lora.state is LoraState.READY:
        return lora
    job = await database.jobs.get_last_training(code)
    if lora.state is LoraState.TRAINING and job is not None:
        raise UserError(
            translate(
                "still-training",
                code=format_code(code),
                left=format_time_left((await estimate_job(database.jobs, job, now)).remaining_s),
            )
        )
    raise UserError(not_usable(lora))


async def require_job(database: Database, account: AccountId, job_id: JobId, not_found_text: str) -> Job:
    """Return a job of the account; UserError with the sentence `unknown`."""
    job = await database.jobs.get(job_id)
    if job is None or job.account != account:
        raise UserError(not_found_text)
    return job


async def require_result(
    database: Database, account: AccountId, job_id: JobId, not_found_text: str
) -> tuple[Job, list[Picture]]:
    """Return a finished generation of the account with its pictures; UserError also when it was deleted."""
    job = await require_job(database, account, job_id, not_found_text)
    if job.kind is not JobKind.GENERATE or job.status is not JobStatus.DONE:
        raise UserError(translate("not-done"))
    pictures = await database.results.list_pictures(job_id)
    if any(picture.is_deleted for picture in pictures):
        raise UserError(translate("deleted"))
    return job, pictures
