"""Jobs: what each was asked for, where it stands, and what it left."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

from bot.domain._codes import LoraCode
from bot.domain._likeness import LikenessReport, Pick
from bot.domain._loras import Trigger
from bot.domain._people import AccountId, Place

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
