"""A fake worker whose trainings take about a second, with samples and checkpoints on their way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator

from gpu_worker.protocol import Checkpoint, Done, Event, Progress, Sample, Started, Train
from gpu_worker.serve.loop import serve
from tests.integration.fake_worker import HEALTH, as_lora
from tests.proofs.canary_worker import CanaryPerformer, picture

STEPS, STEP_S, CHECKPOINT_EVERY_STEPS = 60, 0.015, 10


class StoryPerformer(CanaryPerformer):
    """Goes on where it was; draws as its parent does."""

    def train(self, request: Train) -> Generator[Event, None, None]:
        job = {"job_id": request.job_id, "attempt": request.attempt}
        first = int(request.resume) if request.resume else 0
        yield Started(**job, step=first, steps=STEPS)
        for step in range(first + 1, STEPS + 1):
            time.sleep(STEP_S)
            yield Progress(**job, step=step, steps=STEPS)
            if step % CHECKPOINT_EVERY_STEPS == 0 and step < STEPS:
                yield Sample(**job, step=step, png=picture(b""))
                yield Checkpoint(**job, step=step, data=b"%d" % step)
        yield Done(**job, lora=as_lora(b"lora of %d" % request.job_id))


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os._exit(serve(StoryPerformer, HEALTH, sys.stdin.buffer, frames))
