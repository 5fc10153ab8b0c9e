"""Workers without a model: what is left is the way to them and back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from gpu_worker.protocol import Crop, Health
from gpu_worker.serve.loop import Performer, serve

HEALTH = Health(device="none", base_model="none", base_model_loaded=True, process_memory_bytes=1)


class Modelless:
    """The part that is the same of all of them: there is nothing to load, to encode or to forget."""

    def health(self) -> Health:
        """Always the same."""
        return HEALTH

    def warm(self) -> None:
        """There is nothing to load."""

    def tidy(self) -> None:
        """There is nothing to throw away."""

    def prepare(self, photo: bytes, crop: Crop | None) -> None:
        """There is nothing to encode."""

    def forget(self, photos: tuple[str, ...]) -> None:
        """Nothing was kept."""


def as_lora(content: bytes) -> bytes:
    """Make of bytes what counts as a LoRA file as far as the front end can tell; they are its end."""
    told = {"words": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + content


def serve_and_end(performer: Callable[[], Performer]) -> None:
    """Be a worker process until its input ends; what is printed goes to stderr, and not among the frames."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os._exit(serve(performer, HEALTH, sys.stdin.buffer, frames))
