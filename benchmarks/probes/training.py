"""A few steps of a training as a person's program runs it: when each ended, and what else took time."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field

from benchmarks.measure import peak_bytes
from benchmarks.probes.task import DTYPES, make_training_task, parse_arguments
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import CheckpointEvent, FallbackEvent, ProgressEvent, WorkerEvent, encode_frame
from gpu_worker.training.latents import LatentCache, LatentKey
from gpu_worker.training.trainer import StepReport, train_photos


@dataclass
class TrainingTimings:
    """The result; times are of the monotonic clock, which the parent process shares."""

    precision: str = ""
    device: str = ""
    loaded_at: float = 0.0
    step_ends: list[float] = field(default_factory=list)
    #: Encoding photos within each step: ours are encoded when a step first needs them, the peer's before all.
    encode_s: list[float] = field(default_factory=list)
    #: From each step's end until its progress was sent.
    progress_delay_s: list[float] = field(default_factory=list)
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

    def get(self, key: LatentKey) -> LatentDistribution | None:
        """Look, and note the time."""
        latents = super().get(key)
        self._missed_at = time.monotonic()
        return latents

    def put(self, key: LatentKey, distribution: LatentDistribution) -> None:
        """Record a step and its time."""
        self.spent_s += time.monotonic() - self._missed_at
        super().put(key, distribution)


class Pipe:
    """A pipe with a reader thread, as between worker and bot."""

    def __init__(self) -> None:
        read_fd, write_fd = os.pipe()
        self._write_end = os.fdopen(write_fd, "wb")
        threading.Thread(target=_drain, args=(read_fd,), daemon=True).start()

    def send(self, event: WorkerEvent) -> int:
        """Send an event as the worker does; return its size in bytes."""
        frame = encode_frame(event)
        self._write_end.write(frame)
        self._write_end.flush()
        return len(frame)


def _drain(read_fd: int) -> None:
    while os.read(read_fd, 65536):
        pass


def main() -> None:
    """Train, and time from outside what the generator does between its events."""
    args, record, pipe, cache = parse_arguments(), TrainingTimings(), Pipe(), TimedCache()

    def on_step(_: StepReport) -> None:
        record.step_ends.append(time.monotonic())
        record.encode_s.append(cache.spent_s)
        cache.spent_s = 0.0

    base = load_base_model(str(args.model), DTYPES[args.precision])
    record.loaded_at = time.monotonic()
    events = train_photos(base, make_training_task(args.side, args.steps, on_step, args.unet_only), cache)
    requested_at = record.loaded_at
    # As in the worker, no event is kept: a checkpoint is large.
    while (event := next(events, None)) is not None:
        _record_event(event, record, pipe, requested_at)
        del event
        requested_at = time.monotonic()
    record.precision = str(base.dtype).removeprefix("torch.")
    record.device = base.device.type
    record.peak_bytes = peak_bytes(os.getpid())
    print(json.dumps(asdict(record)))


def _record_event(event: WorkerEvent, record: TrainingTimings, pipe: Pipe, requested_at: float) -> None:
    size = pipe.send(event)
    now = time.monotonic()
    if isinstance(event, ProgressEvent) and event.step > len(record.progress_delay_s):
        record.progress_delay_s.append(now - record.step_ends[-1])
    elif isinstance(event, CheckpointEvent):
        record.checkpoint_s, record.checkpoint_bytes = now - requested_at, size
        record.checkpoint_step = event.step
    elif isinstance(event, FallbackEvent):
        record.adjusted.append(f"{event.cause}: {event.memory_mode}")


if __name__ == "__main__":
    main()
