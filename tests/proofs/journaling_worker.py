"""A fake worker that writes down each step it begins, and gives a checkpoint at every tenth.

`journaling_worker.py <journal>`: a line is `job attempt step`. The first photo `steps=40` sets the number of
steps, `poison` kills the process at step 2.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator

from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.serve.loop import serve
from tests.support.fake_worker import HEALTH, FakePerformer, as_lora

CHECKPOINT_EVERY_STEPS = 10
STEP_S = 0.002  # the work of a step


class SteadyPerformer(FakePerformer):
    """Goes on where it was."""

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        order, job = request.photos[0], {"job_id": request.job_id, "attempt": request.attempt}
        steps = int(order.removeprefix(b"steps=")) if order.startswith(b"steps=") else 40
        first = int(request.resume_checkpoint) if request.resume_checkpoint else 0
        yield StartedEvent(**job, step=first, steps=steps)
        for step in range(first + 1, steps + 1):
            os.write(journal, b"%d %d %d\n" % (request.job_id, request.attempt, step))
            time.sleep(STEP_S)
            if order == b"poison" and step == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield ProgressEvent(**job, step=step, steps=steps)
            if step % CHECKPOINT_EVERY_STEPS == 0 and step < steps:
                yield CheckpointEvent(**job, step=step, data=b"%d" % step)
        yield DoneEvent(**job, lora=as_lora(b"lora of %d" % request.job_id))


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    journal = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os._exit(serve(SteadyPerformer, HEALTH, sys.stdin.buffer, frames))
