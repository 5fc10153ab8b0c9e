"""A backend in this process that lies word by word, and lets something else happen between two words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from bot.core.errors import WorkerLost
from bot.jobs.backends.fake import FakeBackend
from gpu_worker.protocol import (
    CancelledEvent,
    CheckpointEvent,
    DoneEvent,
    FailedEvent,
    FallbackCause,
    FallbackEvent,
    JobProblem,
    JobRequest,
    PreviewEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from tests.support.engine import PNG

_Say = Callable[[int, int], WorkerEvent]
#: What it says of a job and an attempt; after the last word it vanishes.
_EVENTS: dict[str, _Say] = {
    "started": lambda job, attempt: StartedEvent(job_id=job, attempt=attempt, step=0, steps=10),
    "progress": lambda job, attempt: ProgressEvent(job_id=job, attempt=attempt, step=7, steps=10),
    "back": lambda job, attempt: ProgressEvent(job_id=job, attempt=attempt, step=1, steps=10),
    "beyond": lambda job, attempt: ProgressEvent(job_id=job, attempt=attempt, step=99, steps=10),
    "another": lambda job, attempt: ProgressEvent(job_id=job + 1, attempt=attempt + 1, step=3, steps=10),
    "checkpoint": lambda job, attempt: CheckpointEvent(job_id=job, attempt=attempt, step=5, data=b"5"),
    "garbage checkpoint": lambda job, attempt: CheckpointEvent(
        job_id=job, attempt=attempt, step=3, data=b"?" * 99
    ),
    "sample": lambda job, attempt: SampleEvent(job_id=job, attempt=attempt, step=5, png=PNG),
    "garbage sample": lambda job, attempt: SampleEvent(
        job_id=job, attempt=attempt, step=5, png=b"no picture"
    ),
    "preview": lambda job, attempt: PreviewEvent(job_id=job, attempt=attempt, png=PNG),
    "adjusted": lambda job, attempt: FallbackEvent(
        job_id=job, attempt=attempt, step=0, cause=FallbackCause.OUT_OF_MEMORY, memory_mode="float32"
    ),
    "nothing": lambda job, attempt: DoneEvent(job_id=job, attempt=attempt),
    "failed": lambda job, attempt: FailedEvent(
        job_id=job, attempt=attempt, problem=JobProblem.PHOTO_UNREADABLE
    ),
    "stopped": lambda job, attempt: CancelledEvent(job_id=job, attempt=attempt),
}
WORDS = (*_EVENTS, "done", "meanwhile")


class LyingBackend(FakeBackend):
    """Says what its script holds, true or not; the attempt after that is carried out honestly."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[str] = []
        #: What happens at the word "meanwhile", once, while the worker talks on.
        self.meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.others: list[asyncio.Task[None]] = []

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Carry out one attempt, or say so."""
        words = self.script or ["started", "progress", "checkpoint", "done"]
        self.script = []
        for word in words:
            await asyncio.sleep(0)
            if word == "meanwhile":
                await self._let_happen(request.job_id)
            elif word == "done":
                yield _done(request)
            else:
                yield _EVENTS[word](request.job_id, request.attempt)
        raise WorkerLost("it said no more")

    async def _let_happen(self, job_id: int) -> None:
        if self.meanwhile is None:
            return
        self.others.append(asyncio.create_task(self.meanwhile()))
        self.meanwhile = None
        for _ in range(random.Random(job_id).randrange(40)):  # how far it comes until the next word
            await asyncio.sleep(0)


def _done(request: JobRequest) -> DoneEvent:
    job, attempt = request.job_id, request.attempt
    if isinstance(request, TrainRequest):
        return DoneEvent(job_id=job, attempt=attempt, lora=b"lora of %d" % job)
    return DoneEvent(job_id=job, attempt=attempt, pictures=(PNG,) * request.count)
