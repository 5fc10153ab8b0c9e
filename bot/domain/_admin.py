"""What administrators see and do: the state of things, what was reported to them, their acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.domain._codes import LoraCode
from bot.domain._jobs import JobKind


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
class Report:
    """What a person told the administrators of a code, which may be nobody's."""

    at: datetime
    code: LoraCode
    who: str  #: an identity of theirs, as in `telegram:123`
    words: str


@dataclass(frozen=True, slots=True)
class Act:
    """Something an administrator did."""

    at: datetime
    admin: str
    command: str
    about: str
