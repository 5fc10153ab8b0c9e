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

from gpu_worker.errors import BadInput, JobProblem

log = logging.getLogger(__name__)

PROGRAM = "train_network.py"
#: A process whose start is this much later than its folder's last change only inherited the number.
_CLOCK_TOLERANCE_S = 2.0


def workspaces_root() -> Path:
    """Return the folder of this user's workspaces."""
    user = os.getuid() if hasattr(os, "getuid") else "me"
    return Path(tempfile.gettempdir()) / f"loracode-sd-scripts-{user}"


@contextmanager
def create_workspace(parent_dir: Path) -> Iterator[Path]:
    """Yield a folder that only this user can read, and remove it afterwards."""
    try:
        parent_dir.mkdir(mode=0o700, exist_ok=True)
        # The name begins with the owner, so that a later worker can tell whether anybody still uses it.
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent_dir)).resolve()
    except OSError as error:
        raise BadInput(JobProblem.SD_SCRIPTS_CANNOT_WRITE, detail=str(error.strerror)) from error
    try:
        yield folder
    finally:
        _remove_folder(folder)


def remove_stale_workspaces(parent_dir: Path) -> None:
    """Remove the folders of dead workers, and end the trainings that still run in them."""
    for folder in sorted(parent_dir.glob("[0-9]*-*")):
        owner_pid = folder.name.partition("-")[0]
        try:
            is_used = not owner_pid.isdecimal() or _is_alive(int(owner_pid), folder.stat().st_mtime)
        except FileNotFoundError:
            continue  # another worker has just swept it, or ended in peace
        if not is_used:
            log.warning("removing what worker %s left behind", owner_pid)
            _kill_orphans(folder.resolve())
            _remove_folder(folder)


def _is_alive(pid: int, modified_at: float) -> bool:
    """Return True if the worker that made a folder is alive; process ids are reused."""
    try:
        return psutil.Process(pid).create_time() <= modified_at + _CLOCK_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _kill_orphans(folder: Path) -> None:
    """Kill the process group of every sd-scripts that runs in this folder."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        command_line = process.info["cmdline"] or ()
        if not any(argument.endswith(PROGRAM) for argument in command_line) or not any(
            str(folder) in argument for argument in command_line
        ):
            continue
        try:
            if hasattr(os, "killpg"):
                os.killpg(os.getpgid(process.pid), signal.SIGKILL)
            else:
                process.kill()
        except (ProcessLookupError, PermissionError, psutil.Error):
            log.warning("process %d of a worker that is gone cannot be ended", process.pid)


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        log.warning(
            "a temporary folder cannot be removed now (%s); the next start tries again", error.strerror
        )
