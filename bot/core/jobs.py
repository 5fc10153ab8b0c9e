"""Jobs: what each was asked for, where it stands, and what it left.

How long a job will still take: a pure rule, and what it needs to know of the jobs before.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType, Protocol

import msgspec

from bot.core.accounts import AccountId, ChatAddress
from bot.core.likeness import LikenessReport, PictureSelection
from bot.core.loras import LoraCode, Trigger

#: Attempts a job gets before it fails for good (a worker that dies counts as one).
MAX_ATTEMPTS = 5


MAX_PROMPT_CHARS = 1000


MAX_PICTURES = 4


#: LoraCodes in one picture.
MAX_CODES_PER_PICTURE = 3


#: Generations that are with the worker at the same time; it draws them together where that is faster.
MAX_CONCURRENT_GENERATIONS = 4


#: The switch that lets no job begin.
PAUSED_SWITCH = "paused"


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


class FailureReason(enum.StrEnum):
    """Why the bot gave a job up. The worker has reasons of its own, `JobProblem`."""

    PHOTOS_EXPIRED = "photos-expired"
    WORKER_CRASHED = "worker-crashed"
    START_PICTURE_GONE = "start-picture-gone"
    LORA_FILE_GONE = "lora-file-gone"


class JobFailure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job failed, as `jobs.error` keeps it."""

    reason: str = ""  #: a FailureReason or JobProblem; empty where an earlier version kept a sentence
    values: dict[str, str] = {}  #: what the text of the reason names, such as a limit
    sentence: str = ""  #: in English, in rows of earlier versions only


TERMINAL_STATUSES = frozenset({JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class TrainingParams:
    """What a training was asked for. `steps=None` means the base model's own default."""

    trigger: Trigger = field(default_factory=Trigger)
    steps: int | None = None
    seed: int = 0
    start_step: int | None = None  #: that the Lora has learnt for which is trained further; None: a new one


@dataclass(frozen=True, slots=True)
class GenerationParams:
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
    shape: str = ""  #: portrait, square, landscape or `5:4`, as large as the base model was made for
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
    is_fast: bool = False  #: drawn in the few steps that the base model has for it
    strengths: tuple[float, ...] = ()  #: of every LoRA: one picture with each, side by side in one


@dataclass(frozen=True, slots=True)
class Draft:
    """A generation that is being put together; all that lacks is the prompt."""

    account: AccountId
    code: LoraCode
    params: GenerationParams
    address: ChatAddress
    message_ids: str = ""  #: that ask for the prompt, as those of a question

    @property
    def waits_for_words(self) -> bool:
        """Whether the next plain message is its prompt; where a form asks for it, none is."""
        return self.address == self.address.words_address


@dataclass(frozen=True, slots=True)
class Job:
    """A durable unit of GPU work, as the database holds it."""

    id: JobId
    kind: JobKind
    status: JobStatus
    account: AccountId
    code: LoraCode
    params: TrainingParams | GenerationParams
    address: ChatAddress
    attempt: int  #: fence: raised by each claim; writes of an older attempt are refused
    lost_attempts: int  #: attempts that ended without a result
    step: int  #: last step heard of
    steps: int | None  #: steps in all, once the worker has said
    card_message_id: str | None  #: the one message that shows this job's progress
    error: JobFailure | None  #: why it failed
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt_started_at: datetime | None = None  #: when the worker said that this attempt has begun
    attempt_start_step: int = 0  #: at which step that was
    likeness: LikenessReport | None = None  #: what was measured of a training so far
    selection: PictureSelection | None = None  #: why a drawing handed out the picture that it did

    @property
    def is_continuation(self) -> bool:
        """Whether it trains a Lora further that is there already."""
        return isinstance(self.params, TrainingParams) and self.params.start_step is not None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a result."""

    job: JobId
    number: int  #: from 1
    file: str  #: name inside `DATA_DIR/pictures`
    recipe: str  #: AUTOMATIC1111's `parameters` text; empty when it was deleted, or never known
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class LatencyStats:
    """How long jobs of a kind waited and ran, in seconds: the median, and what 95 of 100 kept within."""

    wait_s: tuple[float, float]
    run_s: tuple[float, float]


#: Steps after which an attempt's own pace tells more than earlier jobs'; the first ones are slow.
MIN_MEASURED_STEPS = 10


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the jobs of one kind took so far; None while none of them is done."""

    step_s: float | None
    job_s: float | None


NO_THROUGHPUT = Throughput(None, None)


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue around one job at one moment. Of queued jobs that are alike, one stands for all."""

    position: int  #: 1 is next, running or ended
    is_paused: bool = False  #: whether an administrator lets no job begin
    ahead: tuple[Job, ...] = ()  #: of its kind: the running ones, then the older queued ones; () once it runs
    open_generations: tuple[Job, ...] = ()  #: running and queued ones; read for a training only
    throughput: Throughput = NO_THROUGHPUT  #: of its kind
    generation_throughput: Throughput = NO_THROUGHPUT


class QueueReader(Protocol):
    """The part of the database that an estimate reads."""

    async def read_queue_state(self, job_id: JobId) -> QueueState:
        """Return the queue around a job, in one read."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Place in line (1 is next or running) and the seconds until the job is done.

    None when not known; inf while an administrator lets no job begin.
    """

    position: int
    remaining_s: float | None


def estimate_remaining_s(
    job: Job, ahead: Sequence[Job], throughput: Throughput, now: datetime, concurrency: int = 1
) -> float | None:
    """Return the seconds until `job` is done, after those `ahead` of it; None when nobody can know yet.

    `lanes` jobs of its kind are with one worker at the same time; where more run, there are more workers.
    """
    concurrency = max(concurrency, sum(each.status is JobStatus.RUNNING for each in ahead))
    own_s = _job_remaining_s(job, throughput, now)
    ahead_s = sum_remaining_s(ahead, throughput, now) if len(ahead) >= concurrency else 0.0
    return None if own_s is None or ahead_s is None else ahead_s / concurrency + own_s


def sum_remaining_s(jobs: Sequence[Job], throughput: Throughput, now: datetime) -> float | None:
    """Return the seconds that jobs still take, one after another; None when nobody can know yet."""
    remaining_s = [_job_remaining_s(job, throughput, now) for job in jobs]
    known_s = [seconds for seconds in remaining_s if seconds is not None]
    return sum(known_s) if len(known_s) == len(remaining_s) else None


def _job_remaining_s(job: Job, throughput: Throughput, now: datetime) -> float | None:
    steps = job.steps or job.params.steps
    step_s = _step_s(job, throughput, now)
    if steps is not None and step_s is not None:
        return max(0, steps - job.step) * step_s
    if throughput.job_s is None:
        return None
    return max(0.0, throughput.job_s - _elapsed_s(job, now))


def _step_s(job: Job, throughput: Throughput, now: datetime) -> float | None:
    """Return the pace of this attempt, which knows what else the card does, or that of earlier jobs."""
    steps_done = job.step - job.attempt_start_step
    if job.status is not JobStatus.RUNNING or job.attempt_started_at is None or steps_done <= 0:
        return throughput.step_s
    if steps_done < MIN_MEASURED_STEPS and throughput.step_s is not None:
        return throughput.step_s
    return max(0.0, (now - job.attempt_started_at).total_seconds()) / steps_done


def _elapsed_s(job: Job, now: datetime) -> float:
    if job.status is not JobStatus.RUNNING or job.started_at is None:
        return 0.0
    return max(0.0, (now - job.started_at).total_seconds())


async def estimate_job(jobs: QueueReader, job: Job, now: datetime) -> Estimate:
    """Return the place of a job in the queue and the time until it is done. One read of the database."""
    return estimate_from_queue(await jobs.read_queue_state(job.id), job, now)


def estimate_from_queue(queue: QueueState, job: Job, now: datetime) -> Estimate:
    """Return the place of a job in a queue that was read, and the time until it is done."""
    if job.status is JobStatus.QUEUED and queue.is_paused:
        return Estimate(queue.position, math.inf)
    concurrency = MAX_CONCURRENT_GENERATIONS if job.kind is JobKind.GENERATE else 1
    remaining_s = estimate_remaining_s(job, queue.ahead, queue.throughput, now, concurrency)
    if job.kind is JobKind.TRAIN and remaining_s is not None:
        # Pictures go first: what they take of the card is added. Unknown is little beside a training.
        remaining_s += sum_remaining_s(queue.open_generations, queue.generation_throughput, now) or 0.0
    return Estimate(queue.position, remaining_s)
