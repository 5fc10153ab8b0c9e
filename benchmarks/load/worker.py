"""A worker without a model. Arguments: seconds of a training, seconds of a picture."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Generator
from typing import Any

from PIL import Image

from benchmarks.modelless import ModellessEngine, make_lora_file, serve_and_end
from gpu_worker.protocol import (
    DoneEvent,
    GenerateRequest,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)

STEPS = 4
LORA_BYTES, SIDE_PX = 2**16, 256


def make_noise_png() -> bytes:
    """A picture of noise, which does not compress: as large as a real one of its size."""
    file = io.BytesIO()
    Image.effect_noise((SIDE_PX, SIDE_PX), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


class TimedEngine(ModellessEngine):
    """Takes its time and makes nothing."""

    def __init__(self) -> None:
        self._train_s, self._generate_s = (float(each) for each in sys.argv[1:3])
        self._lora, self._picture = make_lora_file(bytes(LORA_BYTES)), make_noise_png()

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        """Train, with one sample half-way."""
        job_fields: dict[str, Any] = {"job_id": request.job_id, "attempt": request.attempt}
        yield StartedEvent(**job_fields, step=0, steps=STEPS)
        for step in range(1, STEPS + 1):
            time.sleep(self._train_s / STEPS)
            yield ProgressEvent(**job_fields, step=step, steps=STEPS)
            if step == STEPS // 2:
                yield SampleEvent(**job_fields, step=step, png=self._picture)
        yield DoneEvent(**job_fields, lora=self._lora)

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        """Draw."""
        job_fields: dict[str, Any] = {"job_id": request.job_id, "attempt": request.attempt}
        yield StartedEvent(**job_fields, step=0, steps=1)
        time.sleep(self._generate_s)
        yield ProgressEvent(**job_fields, step=1, steps=1)
        count = request.count
        yield DoneEvent(**job_fields, pictures=(self._picture,) * count, recipes=(request.prompt,) * count)


if __name__ == "__main__":
    serve_and_end(TimedEngine)
