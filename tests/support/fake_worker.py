"""A real worker process with a performer that does nothing real: for tests of the process, not of the model.

The first photo, or the prompt, steers it: `steps=30` sets the number of steps; `who` has it show its name;
`poison` kills the process at step 2; `garbage` breaks the stream; `refuse` and `bug` end the job; `prepared?`
gives the photos that were sent ahead as the LoRA. `python fake_worker.py 0` speaks a version of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Generator

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.protocol import (
    CheckpointEvent,
    Crop,
    DoneEvent,
    GenerateRequest,
    PrefetchRequest,
    PreviewEvent,
    ProgressEvent,
    ReadyMessage,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
)
from gpu_worker.serve.loop import serve
from gpu_worker.serve.pipes import FrameWriter

HEALTH = WorkerHealth(device="fake", base_model="fake", base_model_loaded=False, process_memory_bytes=1)
STEP_S = 0.002  # the work of a step


def as_lora(words: bytes) -> bytes:
    """A LoRA file, as far as the front end can tell, that holds these bytes."""
    told = {"words": {"dtype": "U8", "shape": [len(words)], "data_offsets": [0, len(words)]}}
    header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + words


def prefetch_request(photo: bytes) -> PrefetchRequest:
    """Return the request that sends a photo ahead."""
    return PrefetchRequest(photo=photo, photo_hash=hashlib.sha256(photo).hexdigest())


class FakePerformer:
    """Does what it is told; `die` and `spoil` do the two things that depend on where it is."""

    def __init__(
        self,
        name: str = str(os.getpid()),
        die: Callable[[], None] = lambda: os._exit(1),
        spoil: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name.encode()
        self._die = die
        self._spoil = spoil
        self._prepared: list[bytes] = []

    def read_health(self) -> WorkerHealth:
        return WorkerHealth(device="fake", base_model="fake", base_model_loaded=True, process_memory_bytes=2)

    def preload(self) -> None:
        """There is no model to load."""

    def evict_expired(self) -> None:
        """Nothing is past its time."""

    def prefetch(self, photo: bytes, crop: Crop | None) -> None:
        self._prepared.append(photo)

    def forget(self, photo_hashes: tuple[str, ...]) -> None:
        self._prepared = [
            photo for photo in self._prepared if hashlib.sha256(photo).hexdigest() not in photo_hashes
        ]

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        order = request.photos[0]
        job, attempt = request.job_id, request.attempt
        steps, is_asked_who = steering(order)
        if order == b"refuse":
            raise BadInput(JobProblem.PHOTO_UNREADABLE)
        if order == b"bug":
            raise ZeroDivisionError
        first = int(request.resume_checkpoint) if request.resume_checkpoint else 0
        yield StartedEvent(job_id=job, attempt=attempt, step=first, steps=steps)
        for step in range(first + 1, steps + 1):
            time.sleep(STEP_S)
            if order == b"poison" and step == 2:
                self._die()
            if order == b"garbage":
                self._spoil()
            yield ProgressEvent(job_id=job, attempt=attempt, step=step, steps=steps)
            if is_asked_who and step == first + 1:
                yield SampleEvent(job_id=job, attempt=attempt, step=step, png=self._name)
            yield CheckpointEvent(job_id=job, attempt=attempt, step=step, data=str(step).encode())
        lora = order if len(order) > 100 else b"lora of %d" % first
        if order == b"prepared?":
            lora = b"prepared: " + b",".join(self._prepared)
        yield DoneEvent(job_id=job, attempt=attempt, lora=as_lora(lora))

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        job, attempt = request.job_id, request.attempt
        steps, is_asked_who = steering(request.prompt.encode(), 1)
        yield StartedEvent(job_id=job, attempt=attempt, step=0, steps=steps)
        for step in range(1, steps + 1):
            time.sleep(STEP_S)
            yield ProgressEvent(job_id=job, attempt=attempt, step=step, steps=steps)
            if is_asked_who and step == 1:
                yield PreviewEvent(job_id=job, attempt=attempt, png=self._name)
        if request.preview_interval_s is not None:
            yield PreviewEvent(job_id=job, attempt=attempt, png=b"preview")
        seen = ",".join(sorted(name for name in os.environ if "TOKEN" in name)).encode()
        loras = " ".join(f"{lora.name}:{lora.strength:g}" for lora in request.loras)
        recipe = f"{request.prompt} {loras}".strip()
        picture = self._name if is_asked_who else seen
        yield DoneEvent(job_id=job, attempt=attempt, pictures=(picture,), recipes=(recipe,))


def steering(order: bytes, steps: int = 3) -> tuple[int, bool]:
    """Read how many steps are asked for, and whether the worker's name is."""
    words = order.split() if len(order) < 100 else []
    numbers = [int(word.removeprefix(b"steps=")) for word in words if word.startswith(b"steps=")]
    return numbers[0] if numbers else steps, b"who" in words


def spoil() -> None:
    """Break the stream."""
    frames.write(b"\xff" * 64)
    frames.flush()


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    print("a stray print must not tear a frame")  # noqa: T201 - that is the test
    sys.stdout.flush()
    if len(sys.argv) > 1:
        FrameWriter(frames).write(ReadyMessage(version=int(sys.argv[1]), pid=os.getpid(), health=HEALTH))
        sys.stdin.read()  # until the bot, who does not understand it, is done with it
        os._exit(0)
    status = serve(lambda: FakePerformer(spoil=spoil), HEALTH, sys.stdin.buffer, frames)
    os._exit(status)
