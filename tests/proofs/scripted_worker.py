"""A fake worker whose trainings take about a second, with samples and checkpoints on their way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator

from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.serve.loop import serve
from tests.proofs.canary_worker import CanaryPerformer, picture
from tests.support.fake_worker import HEALTH, as_lora

STEPS, STEP_S, CHECKPOINT_EVERY_STEPS = 60, 0.015, 10


class StoryPerformer(CanaryPerformer):
    """Goes on where it was; draws as its parent does."""

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        job = {"job_id": request.job_id, "attempt": request.attempt}
        first = int(request.resume_checkpoint) if request.resume_checkpoint else 0
        yield StartedEvent(**job, step=first, steps=STEPS)
        for step in range(first + 1, STEPS + 1):
            time.sleep(STEP_S)
            yield ProgressEvent(**job, step=step, steps=STEPS)
            if step % CHECKPOINT_EVERY_STEPS == 0 and step < STEPS:
                yield SampleEvent(**job, step=step, png=picture(b""))
                yield CheckpointEvent(**job, step=step, data=b"%d" % step)
        yield DoneEvent(**job, lora=as_lora(b"lora of %d" % request.job_id))


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os._exit(serve(StoryPerformer, HEALTH, sys.stdin.buffer, frames))
