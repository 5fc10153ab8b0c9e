"""How long a job will still take: a pure rule, and what it needs to know of the jobs before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Protocol

from bot.domain import MAX_GENERATIONS_AT_ONCE, PAUSED, Job, JobId, JobKind, JobStatus

#: Steps after which an attempt's own pace tells more than earlier jobs'; the first ones are slow.
STEPS_THAT_TELL = 10


class JobHistory(Protocol):
    """What an estimate asks of the ledger."""

    async def position(self, job_id: JobId) -> int: ...
    async def jobs_ahead(self, job_id: JobId) -> list[Job]: ...
    async def open_jobs(self, kind: JobKind) -> list[Job]: ...
    async def recent_seconds(self, kind: JobKind) -> list[float]: ...
    async def seconds_per_step(self, kind: JobKind) -> float | None: ...
    async def switches_on(self) -> set[str]: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """What the jobs of one kind took so far; None while none of them is done."""

    per_step_s: float | None
    per_job_s: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Place in line (1 is next or running) and the seconds until the job is done.

    None when not known; inf while an administrator lets no job begin.
    """

    position: int
    left_s: float | None


def seconds_left(job: Job, ahead: Sequence[Job], pace: Pace, now: datetime, lanes: int = 1) -> float | None:
    """Give the seconds until `job` is done, after those `ahead` of it; None when nobody can know yet.

    `lanes` jobs of its kind are with one worker at the same time; where more run, there are more workers.
    """
    lanes = max(lanes, sum(each.status is JobStatus.RUNNING for each in ahead))
    own = _own_seconds(job, pace, now)
    before = card_seconds(ahead, pace, now) if len(ahead) >= lanes else 0.0
    return None if own is None or before is None else before / lanes + own


def card_seconds(jobs: Sequence[Job], pace: Pace, now: datetime) -> float | None:
    """Give the seconds that jobs still take, one after another; None when nobody can know yet."""
    each = [_own_seconds(job, pace, now) for job in jobs]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None


def _own_seconds(job: Job, pace: Pace, now: datetime) -> float | None:
    steps = job.steps or job.wish.steps
    per_step_s = _per_step_s(job, pace, now)
    if steps is not None and per_step_s is not None:
        return max(0, steps - job.step) * per_step_s
    if pace.per_job_s is None:
        return None
    return max(0.0, pace.per_job_s - _running_s(job, now))


def _per_step_s(job: Job, pace: Pace, now: datetime) -> float | None:
    """Give the pace of this attempt, which knows what else the card does, or that of earlier jobs."""
    done = job.step - job.begun_step
    if job.status is not JobStatus.RUNNING or job.begun_at is None or done <= 0:
        return pace.per_step_s
    if done < STEPS_THAT_TELL and pace.per_step_s is not None:
        return pace.per_step_s
    return max(0.0, (now - job.begun_at).total_seconds()) / done


def _running_s(job: Job, now: datetime) -> float:
    if job.status is not JobStatus.RUNNING or job.started_at is None:
        return 0.0
    return max(0.0, (now - job.started_at).total_seconds())


async def estimate(history: JobHistory, job: Job, now: datetime) -> Estimate:
    """Ask the ledger what an honest answer to "how long?" is."""
    position = await history.position(job.id)
    if job.status is JobStatus.QUEUED and PAUSED in await history.switches_on():
        return Estimate(position, math.inf)
    ahead = await history.jobs_ahead(job.id)
    lanes = MAX_GENERATIONS_AT_ONCE if job.kind is JobKind.GENERATE else 1
    left_s = seconds_left(job, ahead, await _pace(history, job.kind), now, lanes)
    if job.kind is JobKind.TRAIN and left_s is not None:
        # Pictures go first: what they take of the card is added. Unknown is little beside a training.
        drawing = await history.open_jobs(JobKind.GENERATE)
        left_s += card_seconds(drawing, await _pace(history, JobKind.GENERATE), now) or 0.0
    return Estimate(position, left_s)


async def _pace(history: JobHistory, kind: JobKind) -> Pace:
    recent = await history.recent_seconds(kind)
    return Pace(await history.seconds_per_step(kind), median(recent) if recent else None)
