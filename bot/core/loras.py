"""LoraCodes: a name of eight digits, as it is written and read.

Loras: what they can be of, the words that call them, where they stand.

Drawing with somebody else's Lora: who asks, and what its owner decided.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

from bot.core.accounts import AccountId, ChatAddress
from bot.core.likeness import LikenessReport

CODE_DIGITS = 8


#: Eight decimal digits, leading zeros kept. A name, never a key.
LoraCode = NewType("LoraCode", str)


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


#: Instance tokens: rare words that CLIP reads as one token. Each Lora of an account gets one of its own, so
#: that two can be told apart in one picture.
INSTANCE_TOKENS = ("sks", "ohwx", "phol", "tzky", "kprs", "smx", "csg", "tdp")


#: What photos can be of; the word stands behind the instance token in a trigger.
CLASS_WORDS = ("person", "woman", "man", "dog", "cat", "thing", "style")


#: Those of them whose faces can be compared.
PERSON_CLASSES = ("person", "woman", "man")


MAX_NAME_CHARS = 40


#: Steps that a Lora is trained further for where nothing is said; fewer, or more, make no sense.
DEFAULT_EXTRA_STEPS, MIN_EXTRA_STEPS, MAX_EXTRA_STEPS = 300, 50, 3000


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


class Permission(enum.StrEnum):
    """What the owner of a Lora decided about somebody who wants to draw with it."""

    REQUESTED = "asked"  #: nothing yet
    ONCE = "once"  #: one generation; the share ends with it
    ALWAYS = "always"  #: as many as they like, until it is taken back
    DENIED = "no"  #: never, and asking again changes nothing


GRANTED_PERMISSIONS = frozenset({Permission.ONCE, Permission.ALWAYS})


@dataclass(frozen=True, slots=True)
class Share:
    """What became of one person's wish to draw with a Lora that is somebody else's."""

    number: int  #: never another share's
    code: LoraCode
    account: AccountId  #: whose wish it is
    permission: Permission
    requester_name: str  #: what their platform calls them; it may be empty
    address: ChatAddress  #: where they asked

    @property
    def is_granted(self) -> bool:
        """Whether its person can draw with the Lora now."""
        return self.permission in GRANTED_PERMISSIONS


@dataclass(frozen=True, slots=True)
class Requester:
    """Somebody who wants to draw with a Lora that is not theirs, and where they said so."""

    account: AccountId
    name: str
    address: ChatAddress
