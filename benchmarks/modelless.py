"""Workers without a model: what is left is the way to them and back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from gpu_worker.protocol import Crop, WorkerHealth
from gpu_worker.serve.loop import Engine, serve

HEALTH = WorkerHealth(device="none", base_model="none", base_model_loaded=True, process_memory_bytes=1)


class ModellessEngine:
    """The part that is the same of all of them: there is nothing to load, to encode or to forget."""

    def read_health(self) -> WorkerHealth:
        """Always the same."""
        return HEALTH

    def preload(self) -> None:
        """There is nothing to load."""

    def evict_expired(self) -> None:
        """There is nothing to throw away."""

    def prefetch(self, photo: bytes, crop: Crop | None) -> None:
        """There is nothing to encode."""

    def forget(self, photo_hashes: tuple[str, ...]) -> None:
        """Do nothing: nothing is cached."""


def make_lora_file(content: bytes) -> bytes:
    """Return a file that the front end accepts as a LoRA, ending with these bytes."""
    tensors = {"words": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}}
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + content


def serve_and_end(create_engine: Callable[[], Engine]) -> None:
    """Be a worker process until its input ends; what is printed goes to stderr, and not among the frames."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os._exit(serve(create_engine, HEALTH, sys.stdin.buffer, frames))
