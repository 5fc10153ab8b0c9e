"""A checkout of sd-scripts that is a fake, a training to give it, and whether its processes have ended."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from gpu_worker.protocol import TrainRequest

FAKE = Path(__file__).with_name("fake_sd_scripts.py")
GONE_S = 20.0  # ends what hangs; nothing waits for it otherwise


class Checkout:
    """The fake's folder, and a file that passes for a base model."""

    def __init__(self, inside: Path) -> None:
        self.folder = inside / "sd-scripts"
        self.folder.mkdir()
        shutil.copyfile(FAKE, self.folder / "train_network.py")
        self.model = inside / "v1-5.safetensors"
        self.model.write_bytes(b"")

    def behave(self, how: str) -> None:
        """Say what the next run does: `well`, or what goes wrong at step 2."""
        (self.folder / "how").write_text(how)

    @property
    def was_started(self) -> bool:
        return (self.folder / "seen.json").exists()

    @property
    def seen(self) -> Any:
        return json.loads((self.folder / "seen.json").read_text())

    def is_quiet(self) -> bool:
        """Wait until the last run and its child have ended."""
        return not self.was_started or all(is_gone(pid) for pid in self.seen["pids"])


def is_gone(pid: int) -> bool:
    """Wait until a process has ended; nobody may be there to take an orphan's status."""
    give_up_at = time.monotonic() + GONE_S
    while time.monotonic() < give_up_at:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def photo(kind: str = "JPEG") -> bytes:
    """Return a small picture in this format."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(file, kind)
    return file.getvalue()


def request(**changes: Any) -> TrainRequest:
    """Ask for a training on five photos."""
    five = (photo(), photo("PNG"), photo("WEBP"), photo(), photo())
    return TrainRequest(**{"job_id": 7, "attempt": 2, "photos": five, "seed": 11, **changes})
