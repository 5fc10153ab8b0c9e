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
MAX_CRASHES, CRASH_WINDOW = 3, timedelta(minutes=10)


#: A worker says that it is there within seconds of its start, before it loads anything.
WORKER_ABSENT_AFTER = timedelta(minutes=5)


#: Samples come every minute, but for this.
_SAMPLE_JITTER = timedelta(seconds=30)


MAX_TEMPERATURE_C, RECOVERED_TEMPERATURE_C = 90, 85


MIN_DISK_FREE, RECOVERED_DISK_FREE = 0.05, 0.06


MAX_QUEUE_AGE, RECOVERED_QUEUE_AGE = timedelta(hours=1), timedelta(minutes=45)


class AlertKind(enum.StrEnum):
    """What administrators are woken for."""

    WORKER = "worker"  #: it keeps dying, or none comes up
    GPU_LOST = "card-lost"  #: there was a card, and now there is none
    GPU_HOT = "card-hot"
    DISK = "disk"
    QUEUE = "queue"  #: something waits for too long
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class MonitorSnapshot:
    """What can be seen now. `samples` are those of the last day, the oldest first; the last one is of now."""

    samples: Sequence[MonitorSample]
    disk_free_share: float
    oldest_queued_at: datetime | None
    is_paused: bool
    backup_error: str | None  #: why the last backup failed; empty: it did not; None: nobody knows yet


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule says. `is_bad=None`: nothing new. `figure` and `words` go into the letter."""

    kind: AlertKind
    is_bad: bool | None
    value: float = 0.0
    text: str = ""


def evaluate_alerts(snapshot: MonitorSnapshot) -> list[Alert]:
    """Ask every rule."""
    return [
        _check_worker(snapshot.samples),
        _check_gpu_lost(snapshot.samples),
        _check_gpu_hot(snapshot.samples[-1]),
        *_check_system(snapshot),
    ]


def _check_worker(samples: Sequence[MonitorSample]) -> Alert:
    now = samples[-1].at
    crashes = count_crashes_since(samples, now - CRASH_WINDOW)
    if crashes >= MAX_CRASHES:
        return Alert(AlertKind.WORKER, True, crashes)
    if samples[-1].device is not None:
        return Alert(AlertKind.WORKER, None if crashes else False)
    recent_samples = [each for each in samples if each.at > now - WORKER_ABSENT_AFTER - _SAMPLE_JITTER]
    # Where they do not reach so far back the bot did not run, and they say nothing of its worker.
    is_absent = recent_samples[0].at < now - WORKER_ABSENT_AFTER + _SAMPLE_JITTER and not any(
        each.device for each in recent_samples
    )
    return Alert(AlertKind.WORKER, True if is_absent else None)


def count_crashes_since(samples: Sequence[MonitorSample], since: datetime) -> int:
    """Count the workers that died; the count in a sample begins anew with each start of the bot."""
    crashes = 0
    for earlier, later in itertools.pairwise(samples):
        if later.at > since:
            new_crashes = later.worker_crashes - earlier.worker_crashes
            crashes += new_crashes if new_crashes >= 0 else later.worker_crashes
    return crashes


def _check_gpu_lost(samples: Sequence[MonitorSample]) -> Alert:
    """A worker that has lost its card begins anew on the processor, or can no longer ask the card."""
    if samples[-1].device is None:
        return Alert(AlertKind.GPU_LOST, None)
    if samples[-1].temperature_c is not None:
        return Alert(AlertKind.GPU_LOST, False)
    gpu_samples = [each for each in samples if each.temperature_c is not None]
    if not gpu_samples:
        return Alert(AlertKind.GPU_LOST, False)
    # Twice in a row: one figure may fail to come.
    is_lost = len(samples) > 1 and samples[-2].device is not None and samples[-2].temperature_c is None
    return Alert(AlertKind.GPU_LOST, True if is_lost else None, text=gpu_samples[-1].device or "")


def _check_gpu_hot(sample: MonitorSample) -> Alert:
    if sample.temperature_c is None:
        return Alert(AlertKind.GPU_HOT, None)
    is_bad = _exceeds(sample.temperature_c, MAX_TEMPERATURE_C, RECOVERED_TEMPERATURE_C)
    return Alert(AlertKind.GPU_HOT, is_bad, sample.temperature_c)


def _check_system(snapshot: MonitorSnapshot) -> list[Alert]:
    free_share = snapshot.disk_free_share
    disk_alert = Alert(
        AlertKind.DISK, _exceeds(-free_share, -MIN_DISK_FREE, -RECOVERED_DISK_FREE), 100 * free_share
    )
    queue_age = timedelta()
    if snapshot.oldest_queued_at is not None:
        queue_age = snapshot.samples[-1].at - snapshot.oldest_queued_at
    is_too_old = _exceeds(
        queue_age.total_seconds(), MAX_QUEUE_AGE.total_seconds(), RECOVERED_QUEUE_AGE.total_seconds()
    )
    if is_too_old and snapshot.is_paused:  # as an administrator wants it
        is_too_old = None
    queue_alert = Alert(AlertKind.QUEUE, is_too_old, queue_age.total_seconds())
    backup_error = snapshot.backup_error
    backup_alert = Alert(
        AlertKind.BACKUP, None if backup_error is None else bool(backup_error), text=backup_error or ""
    )
    return [disk_alert, queue_alert, backup_alert]


def _exceeds(value: float, bad_above: float, good_below: float) -> bool | None:
    if value > bad_above:
        return True
    return False if value < good_below else None


@dataclass(frozen=True, slots=True)
class MonitorSample:
    """The state of things at one minute. Figures of the card are None where it, or its worker, has none."""

    at: datetime
    queued_counts: Mapping[JobKind, int]
    device: str | None = None  #: None: there was no worker
    load_percent: int | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    worker_crashes: int = 0  #: since the bot was started

    @property
    def memory_percent(self) -> float | None:
        """How much of the card's memory is in use."""
        if self.memory_used_bytes is None or not self.memory_total_bytes:
            return None
        return 100 * self.memory_used_bytes / self.memory_total_bytes


@dataclass(frozen=True, slots=True)
class AbuseReport:
    """What a person told the administrators of a code, which may be nobody's."""

    created_at: datetime
    code: LoraCode
    reporter: str  #: an identity of theirs, as in `telegram:123`
    text: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something an administrator did."""

    created_at: datetime
    admin: str
    command: str
    details: str
