"""Checks of a worker's events. A worker that cannot be right is ended.

Pure: knows neither processes nor clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from bot.media import lora_files
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    FailedEvent,
    FallbackEvent,
    JobRequest,
    ProgressEvent,
    ProtocolError,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)

#: No training has more.
MAX_STEPS = 1_000_000
#: Memory modes are few, so a worker that goes back more often gets nowhere.
MAX_ADJUSTMENTS = 20
#: The values of a reason, or the name of a memory mode, are never so long.
MAX_TEXT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class WorkerTimeouts:
    """How long the bot waits for its worker, in seconds."""

    #: A worker says every second that it lives, so this long a silence is death.
    silence_timeout_s: float = 30.0
    #: The same until its base model is there: libraries that come from a slow disk let no thread of it speak.
    start_timeout_s: float = 90.0
    #: A job waits so long for a worker that is being started.
    ready_timeout_s: float = 60.0
    #: A cancelled job may take so long to its next step before its worker is killed.
    cancel_timeout_s: float = 20.0
    #: A worker that lives but does no step for so long hangs; slow processors need minutes for one.
    stall_timeout_s: float = 1800.0
    #: The same before its base model is there, which it may have to download.
    load_timeout_s: float = 4 * 3600.0
    #: A worker that lived shorter is not started again at once.
    min_uptime_s: float = 5.0


#: Where others can take its jobs over, they are there within 15 s after a worker froze or lost its network.
POOL_TIMEOUTS = WorkerTimeouts(silence_timeout_s=8.0)


class AttemptValidator:
    """Checks the events of one attempt."""

    def __init__(self, request: JobRequest, now_s: float) -> None:
        self._request = request
        self._progressed_at_s = now_s
        self._last_step = -1
        self._adjustment_count = 0

    def validate(self, event: WorkerEvent, now_s: float) -> None:
        """Record an event. Raise ProtocolError if no correct worker sends it."""
        match event:
            case StartedEvent() | ProgressEvent():
                self._check_step(event.step, event.steps)
            case CheckpointEvent() | SampleEvent():
                self._check_step(event.step, MAX_STEPS)
            case FallbackEvent():
                self._check_step(event.step, MAX_STEPS)
                _check_length(event.memory_mode)
                self._adjustment_count += 1
                if self._adjustment_count > MAX_ADJUSTMENTS:
                    raise ProtocolError("it goes back again and again")
                self._last_step = -1
            case FailedEvent():
                _check_length("".join(chain.from_iterable(event.values.items())))
            case DoneEvent():
                self._check_result(event)
        if isinstance(event, StartedEvent | ProgressEvent) and event.step > self._last_step:
            self._last_step, self._progressed_at_s = event.step, now_s

    def stalled_for_s(self, now_s: float) -> float:
        """Return for how long the attempt has made no progress."""
        return now_s - self._progressed_at_s

    def _check_step(self, step: int, steps: int) -> None:
        if not 0 <= step <= steps <= MAX_STEPS:
            raise ProtocolError(f"it is at step {step} of {steps}")

    def _check_result(self, done: DoneEvent) -> None:
        if isinstance(self._request, TrainRequest):
            _check_lora(done.lora)
        elif not 1 <= len(done.pictures) <= self._request.count:
            raise ProtocolError(f"{len(done.pictures)} pictures came of {self._request.count} asked for")
        if len(done.recipes) > len(done.pictures):
            raise ProtocolError("there are more recipes than pictures")


def _check_lora(lora: bytes | None) -> None:
    if lora is None:
        raise ProtocolError("a training ended without a LoRA")
    try:
        lora_files.validate_lora(lora)
    except ValueError as error:
        raise ProtocolError(f"its LoRA is no safetensors file: {error}") from error


def _check_length(text: str) -> None:
    if len(text) > MAX_TEXT_CHARS:
        raise ProtocolError(f"one of its texts has {len(text)} characters")
