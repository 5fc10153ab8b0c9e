"""The nouns of LoraCode and their pure rules; imports nothing of ours and does nothing."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

PHOTOS_PER_LORA = 5
#: Photos kept of a set that came too large (an album of ten), so that the person can still choose.
MAX_PHOTOS_HELD = 10
CODE_DIGITS = 8
#: Attempts a job gets before it fails for good (a worker that dies counts as one).
MAX_ATTEMPTS = 5
MAX_PROMPT_CHARS = 1000
MAX_PICTURES = 4
#: LoraCodes in one picture.
MAX_CODES = 3
#: Generations that are with the worker at the same time; it draws them together where that is faster.
MAX_GENERATIONS_AT_ONCE = 4
#: Instance tokens: rare words that CLIP reads as one token. Each Lora of an account gets one of its own, so
#: that two can be told apart in one picture.
INSTANCE_TOKENS = ("sks", "ohwx", "phol", "tzky", "kprs", "smx", "csg", "tdp")

#: What photos can be of; the word stands behind the instance token in a trigger.
CLASS_WORDS = ("person", "woman", "man", "dog", "cat", "thing", "style")
#: Those of them whose faces can be compared.
PEOPLE = ("person", "woman", "man")
MAX_NAME_CHARS = 40
#: Steps that a Lora is trained further for where nothing is said; fewer, or more, make no sense.
MORE_STEPS, LEAST_MORE_STEPS, MOST_MORE_STEPS = 300, 50, 3000
#: The switch that lets no job begin.
PAUSED = "paused"

#: Eight decimal digits, leading zeros kept. A name, never a key.
LoraCode = NewType("LoraCode", str)
AccountId = NewType("AccountId", int)
JobId = NewType("JobId", int)
NoticeId = NewType("NoticeId", int)


class Platform(enum.StrEnum):
    """Where a person talks to us."""

    TELEGRAM = "telegram"
    DISCORD = "discord"
    CONSOLE = "console"


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


class LoraState(enum.StrEnum):
    """Where a Lora stands."""

    TRAINING = "training"  #: its training is queued or running
    READY = "ready"  #: weights are stored; `/generate` may use it
    FAILED = "failed"  #: its training failed; the code is never issued again
    CANCELLED = "cancelled"  #: its training was cancelled; likewise


class Access(enum.StrEnum):
    """Whom the bot serves, besides its administrators."""

    OPEN = "open"  #: everybody
    INVITATION = "invitation"  #: whoever has a word from an administrator
    ALLOW_LIST = "allow-list"  #: whom the settings name


class Role(enum.StrEnum):
    """What a person is to the bot; more than a guest is what an administrator, or their word, made them."""

    GUEST = "guest"  #: came by themselves
    MEMBER = "member"  #: was let in
    TRUSTED = "trusted"  #: may have more


class Allowed(enum.StrEnum):
    """What the owner of a Lora decided about somebody who wants to draw with it."""

    ASKED = "asked"  #: nothing yet
    ONCE = "once"  #: one generation; the share ends with it
    ALWAYS = "always"  #: as many as they like, until it is taken back
    NO = "no"  #: never, and asking again changes nothing


MAY_DRAW = frozenset({Allowed.ONCE, Allowed.ALWAYS})


class NoticeKind(enum.StrEnum):
    """What a person is owed to hear."""

    TRAIN_DONE = "train_done"
    TRAIN_FAILED = "train_failed"
    TRAIN_RESUMED = "train_resumed"  #: the worker died and the training goes on; told once a job
    GENERATE_DONE = "generate_done"
    GENERATE_FAILED = "generate_failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Identity:
    """One human on one platform; written `telegram:123`."""

    platform: Platform
    user_id: str
    name: str = field(default="", compare=False)  #: as their platform tells it now; kept with a request only
    locale: str = field(default="", compare=False)  #: of their app, as in `it-IT`; empty where it tells none

    def __str__(self) -> str:
        return f"{self.platform}:{self.user_id}"

    @property
    def alone(self) -> Place:
        """Where this human alone reads: Discord's DMs, or the chat that has the number of its person."""
        chat_id = "dm" if self.platform is Platform.DISCORD else self.user_id
        return Place(self.platform, chat_id, self.user_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer belongs: the chat a job was asked for in.

    `chat_id` is the platform's chat or channel; a topic of a group on Telegram is `-100500:7`. `user_id` is
    whom to write to directly (Discord DMs).
    """

    platform: Platform
    chat_id: str
    user_id: str

    @property
    def chat(self) -> str:
        """The chat as a whole, whatever topic of it this is."""
        return self.chat_id.partition(":")[0]

    @property
    def is_shared(self) -> bool:
        """Whether it is a group or channel, with others in it."""
        if self.platform is Platform.DISCORD:
            return not self.chat_id.startswith("dm")
        return not self.is_private

    @property
    def person(self) -> Identity:
        """Whoever asked there."""
        return Identity(self.platform, self.user_id)

    @property
    def is_private(self) -> bool:
        """Whether its person alone reads there: on Telegram a private chat has the number of its person."""
        return self.platform is not Platform.TELEGRAM or self.chat_id == self.user_id


@dataclass(frozen=True, slots=True)
class Trigger:
    """The words that call the subject: an instance token and a class word."""

    token: str = "sks"  # noqa: S105 - an instance token in the sense of DreamBooth, not a secret
    class_word: str = "person"

    def __str__(self) -> str:
        return f"{self.token} {self.class_word}"


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """A photo that passed the gate: RGB, upright, without metadata, as JPEG bytes.

    `sha256` is of the decoded pixels, so that the same photo is known again in another wrapping. `hint` is
    what the coach saw on it that helps to train on it, as the coach writes it.
    """

    sha256: str
    data: bytes
    hint: str = ""


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
class Copy:
    """A message that shows a result which was deleted, and is to lose it."""

    id: int
    job: Job
    place: Place
    message_id: str
    tries: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A generation that is being put together; all that lacks is the prompt."""

    account: AccountId
    code: LoraCode
    wish: GenerateWish
    place: Place


@dataclass(frozen=True, slots=True)
class Score:
    """How well a candidate of a training did on its pictures."""

    step: int
    likeness: float  #: to the photos, 0 to 1, over the pictures that show somebody
    pictures: int
    faceless: int  #: of the pictures, that show nobody
    copies: int  #: of the pictures, that are a photo again


@dataclass(frozen=True, slots=True)
class LikenessReport:
    """What was measured of a training on its way."""

    scores: tuple[Score, ...]  #: by step
    chosen: int | None = None  #: the step whose LoRA is the best so far, and is handed out
    odd_photo: int | None = None  #: the number, from 1, of a photo that is clearly unlike the others
    saved_s: float | None = None  #: by ending the training before its last step; None: it did not

    @property
    def best(self) -> Score | None:
        """The score of the LoRA that is handed out."""
        return next((each for each in self.scores if each.step == self.chosen), None)


@dataclass(frozen=True, slots=True)
class Pick:
    """Which of several pictures is the most alike."""

    likenesses: tuple[float | None, ...]  #: of each, 0 to 1; None: it shows nobody
    chosen: int  #: the number of the one that is handed out, from 1


@dataclass(frozen=True, slots=True)
class Lora:
    """The trained result of a photo set."""

    code: LoraCode
    account: AccountId
    trigger: Trigger
    state: LoraState
    file: str | None  #: name inside `DATA_DIR/loras`, once ready
    sha256: str | None
    created_at: datetime
    ready_at: datetime | None
    name: str = ""  #: what its owner calls it
    likeness: LikenessReport | None = None  #: None where nothing honest could be measured
    steps: int | None = None  #: that its file has learnt for


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """The photos an account is collecting, oldest first, and what was chosen for them."""

    account: AccountId
    photos: tuple[int, ...]  #: the number of each one's row, which is never another photo's
    class_word: str = "person"
    name: str = ""
    place: Place | None = None  #: where they were sent last
    card_message_id: str | None = None  #: the one message that shows them
    code: LoraCode | None = None  #: the Lora that they are to train further; None: a new one
    steps: int = MORE_STEPS  #: for so many steps
    swaps: int | None = None  #: the number of the photo that the next one takes the place of


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person wants where they say nothing."""

    size: str = ""  #: portrait, square or landscape; empty: the worker's default
    style: str = ""  #: name of a preset in `styles.toml`
    is_silent: bool = False  #: whether notices, reminders and letters come without a sound
    language: str = ""  #: its code; empty: that of their app
    keeps_photos: bool = False  #: whether photos stay after a training, until they are seven days old


@dataclass(frozen=True, slots=True)
class Question:
    """What a person's next plain message answers: `set` (its name) or `rename:<code>`."""

    about: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Notice:
    """A message owed to an account, kept until its platform has taken it."""

    id: NoticeId
    kind: NoticeKind
    job: Job
    files: tuple[str, ...]  #: names inside `DATA_DIR/pictures`, in order
    tries: int
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of things at one minute. Figures of the card are None where it, or its worker, has none."""

    at: datetime
    waiting: Mapping[JobKind, int]
    device: str | None = None  #: None: there was no worker
    load_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    worker_deaths: int = 0  #: since the bot was started

    @property
    def memory_percent(self) -> float | None:
        """How much of the card's memory is in use."""
        if self.memory_used_bytes is None or not self.memory_total_bytes:
            return None
        return 100 * self.memory_used_bytes / self.memory_total_bytes


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a person may ask for; None: as much as they like."""

    trainings_a_day: int | None = None
    pictures_an_hour: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may use the bot, and how much."""

    admins: frozenset[Identity] = frozenset()
    access: Access = Access.OPEN
    allowed: frozenset[Identity] = frozenset()
    quotas: Mapping[Role, Quota] = field(default_factory=dict)
    most_waiting: int | None = None  #: jobs in line, in all; None: any number
    most_in_a_chat: int | None = None  #: open jobs of one group or channel


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person is, as far as the ledger knows; `own` are limits that stand above their role's."""

    role: Role
    own: Quota
    is_banned: bool


@dataclass(frozen=True, slots=True)
class Share:
    """What became of one person's wish to draw with a Lora that is somebody else's."""

    number: int  #: never another share's
    code: LoraCode
    account: AccountId  #: whose wish it is
    allowed: Allowed
    asker: str  #: what their platform calls them; it may be empty
    place: Place  #: where they asked

    @property
    def may_draw(self) -> bool:
        """Whether its person can draw with the Lora now."""
        return self.allowed in MAY_DRAW


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who wants to draw with a Lora that is not theirs, and where they said so."""

    account: AccountId
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Report:
    """What a person told the administrators of a code, which may be nobody's."""

    at: datetime
    code: LoraCode
    who: str  #: an identity of theirs, as in `telegram:123`
    words: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that belongs to no job, kept until its platform has taken it.

    One about a share has no words: it shows the share as it is when it is delivered.
    """

    id: int
    to: Identity
    words: str
    tries: int
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """An update that a platform handed over: its number there, whose it is, and what it says."""

    id: int
    user_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Act:
    """Something an administrator did."""

    at: datetime
    admin: str
    command: str
    about: str


@dataclass(frozen=True, slots=True)
class Times:
    """How long jobs of a kind waited and ran, in seconds: the median, and what 95 of 100 kept within."""

    waited_s: tuple[float, float]
    ran_s: tuple[float, float]


def format_code(code: LoraCode) -> str:
    """Write a LoraCode as people read it: `4071 3386`."""
    return f"{code[:4]} {code[4:]}"


def parse_code(text: str) -> LoraCode | None:
    """Read a LoraCode written with or without spaces and dashes; None when it is not eight digits."""
    digits = re.sub(r"[\s\-]", "", text)
    return LoraCode(digits) if re.fullmatch(r"[0-9]{8}", digits) else None


def split_code(text: str) -> tuple[str, str]:
    """Split `4071 3386 a prompt` into the code as written and the rest.

    A code is eight digits, or four and four; otherwise the first run of digits is returned as it is (it
    may be empty), so that the caller can say what was wrong with it, and a prompt may start with a number.
    """
    match = re.match(r"\s*([0-9]{8}(?![0-9])|[0-9]{4}[ \-][0-9]{4}(?![0-9])|[0-9]*)(.*)\Z", text, re.DOTALL)
    assert match is not None  # noqa: S101 - every part of the pattern may be empty
    return match[1], match[2].strip()
