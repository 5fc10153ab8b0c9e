"""Loras: what they can be of, the words that call them, where they stand."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from bot.domain._codes import LoraCode
from bot.domain._likeness import LikenessReport
from bot.domain._people import AccountId

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


class LoraState(enum.StrEnum):
    """Where a Lora stands."""

    TRAINING = "training"  #: its training is queued or running
    READY = "ready"  #: weights are stored; `/generate` may use it
    FAILED = "failed"  #: its training failed; the code is never issued again
    CANCELLED = "cancelled"  #: its training was cancelled; likewise


@dataclass(frozen=True, slots=True)
class Trigger:
    """The words that call the subject: an instance token and a class word."""

    token: str = "sks"  # noqa: S105 - an instance token in the sense of DreamBooth, not a secret
    class_word: str = "person"

    def __str__(self) -> str:
        return f"{self.token} {self.class_word}"


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
