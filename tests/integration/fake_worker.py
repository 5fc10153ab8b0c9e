"""A real worker process with a performer that does nothing real: for tests of the process, not of the model.

Photos steer it: the first photo `steps=30` sets the number of steps; `poison` kills the process at step 2;
`garbage` breaks the stream; `prepared?` gives the photos that were sent ahead as the LoRA.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Generator

from gpu_worker.errors import BadInput
from gpu_worker.protocol import (
    Checkpoint,
    Crop,
    Done,
    Event,
    Generate,
    Health,
    Preview,
    Progress,
    Started,
    Train,
)
from gpu_worker.worker import serve

HEALTH = Health(device="fake", base_model="fake", base_model_loaded=False, process_memory_bytes=1)
STEP_S = 0.002  # the work of a step
prepared: list[bytes] = []


def as_lora(words: bytes) -> bytes:
    """A LoRA file, as far as the front end can tell, that holds these bytes."""
    told = {"words": {"dtype": "U8", "shape": [len(words)], "data_offsets": [0, len(words)]}}
    header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + words


class FakePerformer:
    def health(self) -> Health:
        return Health(device="fake", base_model="fake", base_model_loaded=True, process_memory_bytes=2)

    def warm(self) -> None:
        """There is no model to load."""

    def tidy(self) -> None:
        """Nothing is past its time."""

    def prepare(self, photo: bytes, crop: Crop | None) -> None:
        prepared.append(photo)

    def forget(self, photos: tuple[str, ...]) -> None:
        prepared[:] = [photo for photo in prepared if hashlib.sha256(photo).hexdigest() not in photos]

    def train(self, request: Train) -> Generator[Event, None, None]:
        order = request.photos[0]
        job, attempt = request.job_id, request.attempt
        steps = int(order.removeprefix(b"steps=")) if order.startswith(b"steps=") else 3
        if order == b"refuse":
            raise BadInput("These photos cannot be used.")
        if order == b"bug":
            raise ZeroDivisionError
        first = int(request.resume) if request.resume else 0
        yield Started(job_id=job, attempt=attempt, step=first, steps=steps)
        for step in range(first + 1, steps + 1):
            time.sleep(STEP_S)
            if order == b"poison" and step == 2:
                os._exit(1)
            if order == b"garbage":
                frames.write(b"\xff" * 64)
                frames.flush()
            yield Progress(job_id=job, attempt=attempt, step=step, steps=steps)
            yield Checkpoint(job_id=job, attempt=attempt, step=step, data=str(step).encode())
        lora = order if len(order) > 100 else b"lora of %d" % first
        if order == b"prepared?":
            lora = b"prepared: " + b",".join(prepared)
        yield Done(job_id=job, attempt=attempt, lora=as_lora(lora))

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        yield Started(job_id=request.job_id, attempt=request.attempt, step=0, steps=1)
        yield Progress(job_id=request.job_id, attempt=request.attempt, step=1, steps=1)
        seen = ",".join(sorted(name for name in os.environ if "TOKEN" in name)).encode()
        if request.preview_every_s is not None:
            yield Preview(job_id=request.job_id, attempt=request.attempt, png=b"preview")
        loras = " ".join(f"{lora.name}:{lora.strength:g}" for lora in request.loras)
        recipe = f"{request.prompt} {loras}".strip()
        yield Done(job_id=request.job_id, attempt=request.attempt, pictures=(seen,), recipes=(recipe,))


if __name__ == "__main__":
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    print("a stray print must not tear a frame")  # noqa: T201 - that is the test
    sys.stdout.flush()
    status = serve(FakePerformer, HEALTH, sys.stdin.buffer, frames)
    os._exit(status)
