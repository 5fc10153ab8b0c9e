"""LoraCodes: a name of eight digits, as it is written and read.

Loras: what they can be of, the words that call them, where they stand.

Drawing with somebody else's Lora: who asks, and what its owner decided.
"""

from __future__ import annotations

import enum
import re
import unicodedata
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


#: Every dash that a keyboard or an app makes of a hyphen.
DASHES = "\\-\u058a\u05be\u2010-\u2015\u2212\u2e3a\u2e3b\u301c\ufe58\ufe63\uff0d"
#: What people put between the digits of a code, and around it: brackets, quotes, backticks, `#`, `code:`.
_BETWEEN_DIGITS = rf"[\s{DASHES}._/\u00b7\u2022]{{1,3}}"
_OPENING = r"[\s<\[({\"'`#*_~|\u201c-\u201f\u2018-\u201b\u00ab\u2039\uff1c\uff08\uff3b\uff03\u300c\u2116]*"
_CLOSING = r"[>\])}\"'`*_~|\u201c-\u201f\u2018-\u201b\u00bb\u203a\uff1e\uff09\uff3d\u300d]*"
_WORD_BEFORE = r"(?:(?:(?:lora)?[ \-_]?code|codice|lora|n[\u00b0\u00ba]|no\.)\s*[:=#]?)?"
_GROUPS = ((8,), (4, 4), (2, 2, 2, 2), (3, 3, 2), (2, 3, 3), (1,) * 8)
_DIGITS = "|".join(_BETWEEN_DIGITS.join(rf"\d{{{size}}}" for size in sizes) for sizes in _GROUPS)
_CODE_PATTERN = re.compile(rf"{_OPENING}{_WORD_BEFORE}{_OPENING}({_DIGITS})(?!\d){_CLOSING}", re.IGNORECASE)
_COMMA_PATTERN = re.compile(r"[,;:.|=\u060c\u3001\uff0c\uff1a]+(?!\d)|\s+[,;:.|=]+(?=\s|\Z)")


def parse_code(text: str) -> LoraCode | None:
    """Read a LoraCode however people write one; None when it is not eight digits."""
    match = _CODE_PATTERN.match(text)
    if match is None or text[match.end() :].strip(" \t\n,;:.!?"):
        return None
    return to_code(match[1])


def split_code(text: str) -> tuple[str, str]:
    """Split `4071 3386, a prompt` into the code and the rest.

    A code is eight digits, in groups or not, of any script; otherwise the first run of digits is returned
    as it is (it may be empty), so that the caller can say what was wrong with it, and a prompt may start
    with a number.
    """
    match = _CODE_PATTERN.match(text)
    if match is None:
        stripped = text.lstrip()
        rest = stripped.lstrip("0123456789")
        return stripped[: len(stripped) - len(rest)], rest.strip()
    comma = _COMMA_PATTERN.match(text, match.end())
    return to_code(match[1]), text[match.end() if comma is None else comma.end() :].strip()


def to_code(text: str) -> LoraCode:
    """Return the digits of a code, of whatever script, as it is stored."""
    return LoraCode("".join(str(unicodedata.decimal(char)) for char in text if char.isdecimal()))


#: Instance tokens: rare words that CLIP reads as one token. Each Lora of an account gets one of its own, so
#: that two can be told apart in one picture.
INSTANCE_TOKENS = ("sks", "ohwx", "phol", "tzky", "kprs", "smx", "csg", "tdp")


#: What photos can be of; the word stands behind the instance token in a trigger.
STYLE_CLASS = "style"
CLASS_WORDS = ("person", "woman", "man", "dog", "cat", "thing", STYLE_CLASS)


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
    family: str = ""  #: of the base model that it was trained on; empty: not known


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
