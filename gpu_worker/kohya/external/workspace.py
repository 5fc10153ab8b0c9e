"""The private folder that a training by sd-scripts works in, and what a killed worker left of one.

Torch-free: leftovers hold photos, so they are swept before anything heavy is imported.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from gpu_worker.errors import BadInput

log = logging.getLogger(__name__)

PROGRAM = "train_network.py"
#: A process whose start is this much later than its folder's last change only inherited the number.
_CLOCK_BLUR_S = 2.0


def parent() -> Path:
    """Name the folder of this user's workspaces."""
    user = os.getuid() if hasattr(os, "getuid") else "me"
    return Path(tempfile.gettempdir()) / f"loracode-sd-scripts-{user}"


@contextmanager
def workspace(inside: Path) -> Iterator[Path]:
    """Give a folder that only this user can read, and remove it and all it holds afterwards."""
    try:
        inside.mkdir(mode=0o700, exist_ok=True)
        # The name begins with the owner, so that a later worker can tell whether anybody still uses it.
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=inside)).resolve()
    except OSError as error:
        raise BadInput(f"No temporary folder can be made for sd-scripts ({error.strerror}).") from error
    try:
        yield folder
    finally:
        _remove(folder)


def sweep(inside: Path) -> None:
    """Remove the folders of workers that no longer live, and end the trainings that still run in them."""
    for folder in sorted(inside.glob("[0-9]*-*")):
        owner = folder.name.partition("-")[0]
        try:
            is_used = not owner.isdecimal() or _lives(int(owner), folder.stat().st_mtime)
        except FileNotFoundError:
            continue  # another worker has just swept it, or ended in peace
        if not is_used:
            log.warning("removing what worker %s left behind", owner)
            _end_strays(folder.resolve())
            _remove(folder)


def _lives(pid: int, changed_at: float) -> bool:
    """Say whether the worker that made a folder is still there; numbers of processes are used again."""
    try:
        return psutil.Process(pid).create_time() <= changed_at + _CLOCK_BLUR_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _end_strays(folder: Path) -> None:
    """Kill the group of every sd-scripts that works in this folder: nobody waits for its LoRA."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or ()
        if not any(word.endswith(PROGRAM) for word in words) or not any(
            str(folder) in word for word in words
        ):
            continue
        try:
            if hasattr(os, "killpg"):
                os.killpg(os.getpgid(process.pid), signal.SIGKILL)
            else:
                process.kill()
        except (ProcessLookupError, PermissionError, psutil.Error):
            log.warning("process %d of a worker that is gone cannot be ended", process.pid)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        log.warning(
            "a temporary folder cannot be removed now (%s); the next start tries again", error.strerror
        )
