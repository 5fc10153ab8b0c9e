"""A fake worker that puts what it was sent into everything it gives back."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Generator

from PIL import Image

from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    GenerateRequest,
    PreviewEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.serve.loop import serve
from tests.support.fake_worker import HEALTH, FakePerformer, as_lora

STEPS, STEP_S = 400, 0.005


def picture(words: bytes) -> bytes:
    """A picture with words behind its end."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue() + words


class CanaryPerformer(FakePerformer):
    """Everything is derived from the photos, or from the prompt."""

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        job, words = {"job_id": request.job_id, "attempt": request.attempt}, b"derived ".join(request.photos)
        steps = STEPS if b"slow" in request.photos[0] else 3
        yield StartedEvent(**job, step=0, steps=steps)
        for step in range(1, steps + 1):
            time.sleep(STEP_S)
            yield SampleEvent(**job, step=step, png=picture(words))
            yield CheckpointEvent(**job, step=step, data=words)
            yield ProgressEvent(**job, step=step, steps=steps)
        yield DoneEvent(**job, lora=as_lora(words))

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        job = {"job_id": request.job_id, "attempt": request.attempt}
        words = request.prompt.encode() + b"".join(use.data for use in request.loras)
        yield StartedEvent(**job, step=0, steps=2)
        yield PreviewEvent(**job, png=picture(words))
        yield ProgressEvent(**job, step=2, steps=2)
        yield DoneEvent(**job, pictures=(picture(words),), recipes=(request.prompt,))


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os._exit(serve(CanaryPerformer, HEALTH, sys.stdin.buffer, frames))
