"""How long a job will still take: a pure rule, and what it needs to know of the jobs before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Protocol

from bot.domain import Job, JobId, JobKind, JobStatus


class JobHistory(Protocol):
    """What an estimate asks of the ledger."""

    async def position(self, job_id: JobId) -> int: ...
    async def jobs_ahead(self, job_id: JobId) -> list[Job]: ...
    async def recent_seconds(self, kind: JobKind) -> list[float]: ...
    async def seconds_per_step(self, kind: JobKind) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """What the jobs of one kind took so far; None while none of them is done."""

    per_step_s: float | None
    per_job_s: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Place in line (1 is next or running) and the seconds until the job is done; None when not known."""

    position: int
    left_s: float | None


def seconds_left(job: Job, ahead: Sequence[Job], pace: Pace, now: datetime) -> float | None:
    """Give the seconds until `job` is done, after those `ahead` of it; None when nobody can know yet."""
    total = 0.0
    for each in (*ahead, job):
        own = _own_seconds(each, pace, now)
        if own is None:
            return None
        total += own
    return total


def _own_seconds(job: Job, pace: Pace, now: datetime) -> float | None:
    steps = job.steps or job.wish.steps
    if steps is not None:
        per_step_s = pace.per_step_s if pace.per_step_s is not None else _pace_of_this_attempt(job, now)
        if per_step_s is not None:
            return max(0, steps - job.step) * per_step_s
    if pace.per_job_s is None:
        return None
    return max(0.0, pace.per_job_s - _running_s(job, now))


def _pace_of_this_attempt(job: Job, now: datetime) -> float | None:
    # A later attempt began at a checkpoint, so its time does not belong to all of its steps.
    if job.attempt != 1 or job.step == 0:
        return None
    return _running_s(job, now) / job.step


def _running_s(job: Job, now: datetime) -> float:
    if job.status is not JobStatus.RUNNING or job.started_at is None:
        return 0.0
    return max(0.0, (now - job.started_at).total_seconds())


async def estimate(history: JobHistory, job: Job, now: datetime) -> Estimate:
    """Ask the ledger what an honest answer to "how long?" is."""
    position = await history.position(job.id)
    ahead = await history.jobs_ahead(job.id)
    recent = await history.recent_seconds(job.kind)
    pace = Pace(await history.seconds_per_step(job.kind), median(recent) if recent else None)
    return Estimate(position, seconds_left(job, ahead, pace, now))
