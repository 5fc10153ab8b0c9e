"""A worker process that only sleeps, and gives back the bytes it got: what is left is the way there.

A photo steers it: `sleep 0.5 10` is ten steps of 0.5 s.
"""

from __future__ import annotations

import time
from collections.abc import Generator

from benchmarks.modelless import Modelless, as_lora, serve_and_end
from gpu_worker.protocol import Checkpoint, Done, Event, Generate, Progress, Started, Train


class Sleeper(Modelless):
    """Sleeps."""

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Sleep step by step, from where an earlier attempt came to."""
        job, attempt = request.job_id, request.attempt
        words = request.photos[0][:20].split()
        step_s, steps = (float(words[1]), int(words[2])) if words[0] == b"sleep" else (0.0, 1)
        first = int(request.resume or 0)
        yield Started(job_id=job, attempt=attempt, step=first, steps=steps)
        for step in range(first + 1, steps + 1):
            time.sleep(step_s)
            yield Progress(job_id=job, attempt=attempt, step=step, steps=steps)
            yield Checkpoint(job_id=job, attempt=attempt, step=step, data=str(step).encode())
        yield Done(job_id=job, attempt=attempt, lora=as_lora(request.photos[0]))

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        """Be done."""
        yield Started(job_id=request.job_id, attempt=request.attempt, step=0, steps=1)
        yield Done(job_id=request.job_id, attempt=request.attempt, pictures=(b"",), recipes=("",))


if __name__ == "__main__":
    serve_and_end(Sleeper)
