"""A few steps of a training as a person's program runs it: when each ended, and what else took time."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field

from benchmarks.measure import peak_bytes
from benchmarks.probes.task import DTYPES, arguments, training
from gpu_worker.models.base import BaseModel
from gpu_worker.models.latents import Moments
from gpu_worker.protocol import Adjusted, Checkpoint, Event, Progress, encode
from gpu_worker.training.latents import Key, LatentCache
from gpu_worker.training.trainer import StepReport, train_photos


@dataclass
class Record:
    """What is told; times are on the monotonic clock, which is the same in the parent process."""

    precision: str = ""
    device: str = ""
    loaded_at: float = 0.0
    step_ends: list[float] = field(default_factory=list)
    #: Encoding photos within each step: ours are encoded when a step first needs them, the peer's before all.
    encode_s: list[float] = field(default_factory=list)
    #: Between each step's end and the moment its progress has been sent.
    told_s: list[float] = field(default_factory=list)
    #: Making a checkpoint and sending it, and the step it came after.
    checkpoint_s: float = 0.0
    checkpoint_step: int = 0
    checkpoint_bytes: int = 0
    adjusted: list[str] = field(default_factory=list)
    peak_bytes: int = 0


class TimedCache(LatentCache):
    """Notes how long photos take to be encoded: from when one is missing until it is put here."""

    def __init__(self) -> None:
        super().__init__()
        self.spent_s, self._missed_at = 0.0, 0.0

    def get(self, key: Key) -> Moments | None:
        """Look, and note the time."""
        found = super().get(key)
        self._missed_at = time.monotonic()
        return found

    def put(self, key: Key, moments: Moments) -> None:
        """Keep, and count the time since somebody looked."""
        self.spent_s += time.monotonic() - self._missed_at
        super().put(key, moments)


class Pipe:
    """A pipe with somebody who reads at its other end, as between worker and bot."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self._end = os.fdopen(writing, "wb")
        threading.Thread(target=_drain, args=(reading,), daemon=True).start()

    def send(self, event: Event) -> int:
        """Send an event as the worker does; return its size in bytes."""
        frame = encode(event)
        self._end.write(frame)
        self._end.flush()
        return len(frame)


def _drain(reading: int) -> None:
    while os.read(reading, 65536):
        pass


def main() -> None:
    """Train, and time from outside what the generator does between its events."""
    told, record, pipe, cache = arguments(), Record(), Pipe(), TimedCache()

    def note_step(_: StepReport) -> None:
        record.step_ends.append(time.monotonic())
        record.encode_s.append(cache.spent_s)
        cache.spent_s = 0.0

    base = BaseModel.load(str(told.model), DTYPES[told.precision])
    record.loaded_at = time.monotonic()
    events = train_photos(base, training(told.side, told.steps, note_step), cache)
    asked_at = record.loaded_at
    # As the worker does, nothing told is held on to: a checkpoint is large.
    while (event := next(events, None)) is not None:
        _take(event, record, pipe, asked_at)
        del event
        asked_at = time.monotonic()
    record.precision = str(base.dtype).removeprefix("torch.")
    record.device = base.device.type
    record.peak_bytes = peak_bytes(os.getpid())
    print(json.dumps(asdict(record)))


def _take(event: Event, record: Record, pipe: Pipe, asked_at: float) -> None:
    size = pipe.send(event)
    now = time.monotonic()
    if isinstance(event, Progress) and event.step > len(record.told_s):
        record.told_s.append(now - record.step_ends[-1])
    elif isinstance(event, Checkpoint):
        record.checkpoint_s, record.checkpoint_bytes = now - asked_at, size
        record.checkpoint_step = event.step
    elif isinstance(event, Adjusted):
        record.adjusted.append(event.reason)


if __name__ == "__main__":
    main()
