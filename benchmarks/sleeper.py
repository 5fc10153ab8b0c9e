"""A worker process that only sleeps, and gives back the bytes it got: what is left is the way there.

A photo steers it: `sleep 0.5 10` is ten steps of 0.5 s.
"""

from __future__ import annotations

import time
from collections.abc import Generator

from benchmarks.modelless import ModellessEngine, make_lora_file, serve_and_end
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    GenerateRequest,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)


class SleepingEngine(ModellessEngine):
    """Sleeps."""

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        """Sleep step by step, from where an earlier attempt came to."""
        job_id, attempt = request.job_id, request.attempt
        fields = request.photos[0][:20].split()
        step_s, steps = (float(fields[1]), int(fields[2])) if fields[0] == b"sleep" else (0.0, 1)
        start_step = int(request.resume_checkpoint or 0)
        yield StartedEvent(job_id=job_id, attempt=attempt, step=start_step, steps=steps)
        for step in range(start_step + 1, steps + 1):
            time.sleep(step_s)
            yield ProgressEvent(job_id=job_id, attempt=attempt, step=step, steps=steps)
            yield CheckpointEvent(job_id=job_id, attempt=attempt, step=step, data=str(step).encode())
        yield DoneEvent(job_id=job_id, attempt=attempt, lora=make_lora_file(request.photos[0]))

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        """Be done."""
        yield StartedEvent(job_id=request.job_id, attempt=request.attempt, step=0, steps=1)
        yield DoneEvent(job_id=request.job_id, attempt=request.attempt, pictures=(b"",), recipes=("",))


if __name__ == "__main__":
    serve_and_end(SleepingEngine)
