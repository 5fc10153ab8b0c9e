"""Jobs: what each was asked for, where it stands, and what it left.

How long a job will still take: a pure rule, and what it needs to know of the jobs before.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import NewType, Protocol

from bot.core.accounts import AccountId, Place
from bot.core.likeness import LikenessReport, Pick
from bot.core.loras import LoraCode, Trigger

#: Attempts a job gets before it fails for good (a worker that dies counts as one).
MAX_ATTEMPTS = 5


MAX_PROMPT_CHARS = 1000


MAX_PICTURES = 4


#: LoraCodes in one picture.
MAX_CODES = 3


#: Generations that are with the worker at the same time; it draws them together where that is faster.
MAX_GENERATIONS_AT_ONCE = 4


#: The switch that lets no job begin.
PAUSED = "paused"


JobId = NewType("JobId", int)


class JobKind(enum.StrEnum):
    """The two durable units of GPU work."""

    TRAIN = "train"
    GENERATE = "generate"


class JobStatus(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  #: waits for the card
    RUNNING = "running"  #: an attempt is under way
    DONE = "done"  #: its result is stored
    FAILED = "failed"  #: it will not be tried again
    CANCELLED = "cancelled"  #: its owner, or an administrator, stopped it


TERMINAL = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class TrainWish:
    """What a training was asked for. `steps=None` means the base model's own default."""

    trigger: Trigger = field(default_factory=Trigger)
    steps: int | None = None
    seed: int = 0
    start_step: int | None = None  #: that the Lora has learnt for which is trained further; None: a new one


@dataclass(frozen=True, slots=True)
class GenerateWish:
    """What pictures were asked for. `None` and "" mean the worker's default for its base model.

    A new field needs a default: wishes are kept as JSON, and old ones must still be read.
    """

    prompt: str  #: as the person wrote it, further LoraCodes and all
    negative: str = ""
    seed: int | None = None  #: settled when the job is queued, so that a second attempt draws the same
    width_px: int | None = None  #: with `height_px`: stands above `shape`
    height_px: int | None = None
    count: int = 1
    steps: int | None = None
    guidance: float | None = None
    shape: str = ""  #: portrait, square or landscape, as large as the base model was made for
    strength: float | None = None  #: of every LoRA, 0 to 2
    style: str = ""  #: name of a preset in `styles.toml`
    sampler: str = ""
    codes: tuple[LoraCode, ...] = ()  #: further LoraCodes that stand in the prompt
    variation: float = 0.0  #: share of other noise that is mixed into the seed's
    variation_seed: int = 0
    source: JobId | None = None  #: the job whose result this was made from
    source_picture: int | None = None  #: which picture of it, from 1
    redraw: float | None = None  #: begin from that picture and draw so much of it anew, 0 to 1
    best: bool = False  #: of `count` pictures the most alike is handed out


@dataclass(frozen=True, slots=True)
class Draft:
    """A generation that is being put together; all that lacks is the prompt."""

    account: AccountId
    code: LoraCode
    wish: GenerateWish
    place: Place


@dataclass(frozen=True, slots=True)
class Job:
    """A durable unit of GPU work, as the ledger holds it."""

    id: JobId
    kind: JobKind
    status: JobStatus
    account: AccountId
    code: LoraCode
    wish: TrainWish | GenerateWish
    place: Place
    attempt: int  #: fence: raised by each claim; writes of an older attempt are refused
    losses: int  #: attempts that ended without a result
    step: int  #: last step heard of
    steps: int | None  #: steps in all, once the worker has said
    card_message_id: str | None  #: the one message that shows this job's progress
    error: str | None  #: the sentence a failed job ended with
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    begun_at: datetime | None = None  #: when the worker said that this attempt has begun
    begun_step: int = 0  #: at which step that was
    likeness: LikenessReport | None = None  #: what was measured of a training so far
    pick: Pick | None = None  #: why a drawing handed out the picture that it did

    @property
    def goes_further(self) -> bool:
        """Whether it trains a Lora further that is there already."""
        return isinstance(self.wish, TrainWish) and self.wish.start_step is not None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a result."""

    job: JobId
    number: int  #: from 1
    file: str  #: name inside `DATA_DIR/pictures`
    recipe: str  #: AUTOMATIC1111's `parameters` text; empty when it was deleted, or never known
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class Times:
    """How long jobs of a kind waited and ran, in seconds: the median, and what 95 of 100 kept within."""

    waited_s: tuple[float, float]
    ran_s: tuple[float, float]


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
