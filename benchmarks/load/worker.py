"""A worker without a model. Arguments: seconds of a training, seconds of a picture."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Generator
from typing import Any

from PIL import Image

from benchmarks.modelless import Modelless, as_lora, serve_and_end
from gpu_worker.protocol import Done, Event, Generate, Progress, Sample, Started, Train

STEPS = 4
LORA_BYTES, SIDE_PX = 2**16, 256


def drawing() -> bytes:
    """A picture of noise, which does not compress: as large as a real one of its size."""
    file = io.BytesIO()
    Image.effect_noise((SIDE_PX, SIDE_PX), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


class Performer(Modelless):
    """Takes its time and makes nothing."""

    def __init__(self) -> None:
        self._train_s, self._generate_s = (float(each) for each in sys.argv[1:3])
        self._lora, self._picture = as_lora(bytes(LORA_BYTES)), drawing()

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Train, with one sample half-way."""
        job: dict[str, Any] = {"job_id": request.job_id, "attempt": request.attempt}
        yield Started(**job, step=0, steps=STEPS)
        for step in range(1, STEPS + 1):
            time.sleep(self._train_s / STEPS)
            yield Progress(**job, step=step, steps=STEPS)
            if step == STEPS // 2:
                yield Sample(**job, step=step, png=self._picture)
        yield Done(**job, lora=self._lora)

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        """Draw."""
        job: dict[str, Any] = {"job_id": request.job_id, "attempt": request.attempt}
        yield Started(**job, step=0, steps=1)
        time.sleep(self._generate_s)
        yield Progress(**job, step=1, steps=1)
        count = request.count
        yield Done(**job, pictures=(self._picture,) * count, recipes=(request.prompt,) * count)


if __name__ == "__main__":
    serve_and_end(Performer)
