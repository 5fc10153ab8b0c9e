"""When administrators are woken: pure rules over what the watchman saw.

Each rule has three answers: it is bad, it is good again, or neither can be said (between its two limits, or
with nobody to ask), and then what was said before still holds. So a figure that swings around its limit, or a
bot that was just started, wakes nobody twice.

What administrators see and do: the state of things, what was reported to them, their acts.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.core.jobs import JobKind
from bot.core.loras import LoraCode

#: So many ends of workers in so long a time are no accident.
DEATHS, DEATHS_WITHIN = 3, timedelta(minutes=10)


#: A worker says that it is there within seconds of its start, before it loads anything.
WORKER_ABSENT_FOR = timedelta(minutes=5)


#: Samples come every minute, but for this.
_JITTER = timedelta(seconds=30)


HOT_C, COOL_AGAIN_C = 90, 85


FULL_SHARE, ROOM_AGAIN_SHARE = 0.05, 0.06


QUEUE_OLD, QUEUE_YOUNG_AGAIN = timedelta(hours=1), timedelta(minutes=45)


class Alarm(enum.StrEnum):
    """What administrators are woken for."""

    WORKER = "worker"  #: it keeps dying, or none comes up
    CARD_LOST = "card-lost"  #: there was a card, and now there is none
    CARD_HOT = "card-hot"
    DISK = "disk"
    QUEUE = "queue"  #: something waits for too long
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen now. `samples` are those of the last day, the oldest first; the last one is of now."""

    samples: Sequence[Sample]
    disk_free_share: float
    oldest_waiting_at: datetime | None
    is_paused: bool
    backup_trouble: str | None  #: why the last backup failed; empty: it did not; None: nobody knows yet


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says. `is_bad=None`: nothing new. `figure` and `words` go into the letter."""

    alarm: Alarm
    is_bad: bool | None
    figure: float = 0.0
    words: str = ""


def judge(view: View) -> list[Finding]:
    """Ask every rule."""
    return [_worker(view.samples), _card_lost(view.samples), _card_hot(view.samples[-1]), *_the_rest(view)]


def _worker(samples: Sequence[Sample]) -> Finding:
    now = samples[-1].at
    deaths = deaths_since(samples, now - DEATHS_WITHIN)
    if deaths >= DEATHS:
        return Finding(Alarm.WORKER, True, deaths)
    if samples[-1].device is not None:
        return Finding(Alarm.WORKER, None if deaths else False)
    lately = [each for each in samples if each.at > now - WORKER_ABSENT_FOR - _JITTER]
    # Where they do not reach so far back the bot did not run, and they say nothing of its worker.
    is_absent = lately[0].at < now - WORKER_ABSENT_FOR + _JITTER and not any(each.device for each in lately)
    return Finding(Alarm.WORKER, True if is_absent else None)


def deaths_since(samples: Sequence[Sample], since: datetime) -> int:
    """Count the workers that died; the count in a sample begins anew with each start of the bot."""
    deaths = 0
    for earlier, later in itertools.pairwise(samples):
        if later.at > since:
            more = later.worker_deaths - earlier.worker_deaths
            deaths += more if more >= 0 else later.worker_deaths
    return deaths


def _card_lost(samples: Sequence[Sample]) -> Finding:
    """A worker that has lost its card begins anew on the processor, or can no longer ask the card."""
    if samples[-1].device is None:
        return Finding(Alarm.CARD_LOST, None)
    if samples[-1].temperature_c is not None:
        return Finding(Alarm.CARD_LOST, False)
    had_one = [each for each in samples if each.temperature_c is not None]
    if not had_one:
        return Finding(Alarm.CARD_LOST, False)
    # Twice in a row: one figure may fail to come.
    is_lost = len(samples) > 1 and samples[-2].device is not None and samples[-2].temperature_c is None
    return Finding(Alarm.CARD_LOST, True if is_lost else None, words=had_one[-1].device or "")


def _card_hot(now: Sample) -> Finding:
    if now.temperature_c is None:
        return Finding(Alarm.CARD_HOT, None)
    is_bad = _over(now.temperature_c, HOT_C, COOL_AGAIN_C)
    return Finding(Alarm.CARD_HOT, is_bad, now.temperature_c)


def _the_rest(view: View) -> list[Finding]:
    free = view.disk_free_share
    disk = Finding(Alarm.DISK, _over(-free, -FULL_SHARE, -ROOM_AGAIN_SHARE), 100 * free)
    waited = timedelta()
    if view.oldest_waiting_at is not None:
        waited = view.samples[-1].at - view.oldest_waiting_at
    is_old = _over(waited.total_seconds(), QUEUE_OLD.total_seconds(), QUEUE_YOUNG_AGAIN.total_seconds())
    if is_old and view.is_paused:  # as an administrator wants it
        is_old = None
    queue = Finding(Alarm.QUEUE, is_old, waited.total_seconds())
    trouble = view.backup_trouble
    backup = Finding(Alarm.BACKUP, None if trouble is None else bool(trouble), words=trouble or "")
    return [disk, queue, backup]


def _over(value: float, bad_above: float, good_below: float) -> bool | None:
    if value > bad_above:
        return True
    return False if value < good_below else None


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
