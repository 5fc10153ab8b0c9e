"""The files that a training writes, each atomically."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.errors import BadInput
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.fingerprint import read_seed

_STATE_FILE = "state.safetensors"


@dataclass(frozen=True)
class OutputFiles:
    """The files of a training, under sd-scripts' names."""

    folder: Path
    name: str
    steps_per_epoch: int
    is_by_epoch: bool  #: intermediate files are counted in epochs

    def write_lora(self, data: bytes, step: int | None = None) -> Path:
        """Write the finished LoRA, or that of a step."""
        return write_file(self.folder / f"{self._file_stem(step)}.safetensors", data)

    def write_state(self, data: bytes, step: int | None = None) -> Path:
        """Write a state for `--resume`, in a folder as in sd-scripts."""
        return write_file(self.folder / f"{self._file_stem(step)}-state" / _STATE_FILE, data)

    def write_sample(self, png: bytes, step: int, number: int) -> Path:
        """Write a sample picture."""
        return write_file(self.folder / "sample" / f"{self.name}_{step:06d}_{number:02d}.png", png)

    def _file_stem(self, step: int | None) -> str:
        if step is None:
            return self.name
        if self.is_by_epoch:
            return f"{self.name}-{step // self.steps_per_epoch:06d}"
        return f"{self.name}-step{step:08d}"


def prepare_folder(folder: Path) -> None:
    """Make the output folder, and check before the training that files can be written; raises BadInput."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"The output folder {folder} cannot be written to: {error.strerror}.") from error


def read_state(path: Path) -> bytes:
    """Read a state from its folder or file; BadInput if it cannot be read."""
    file = path / _STATE_FILE if path.is_dir() else path
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"The state {path} cannot be read: {error.strerror}.") from error


def read_state_seed(state: bytes) -> int:
    """Return the seed of a state's training; BadInput if the state is damaged."""
    return read_seed(Checkpoint.decode(state).fingerprint)


def write_file(path: Path, data: bytes) -> Path:
    """Write a file atomically: a full disk or a crash leaves no half file. Raises BadInput."""
    is_existing_folder = path.parent.is_dir()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_atomic(path, data)
    except OSError as error:
        if not is_existing_folder:
            _remove_if_empty(path.parent)
        raise BadInput(f"{path} could not be written: {error.strerror}.") from error
    return path


def _write_atomic(path: Path, data: bytes) -> None:
    descriptor, temp_name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temp_path = Path(temp_name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temp_path.chmod(0o644)
        temp_path.replace(path)
    finally:
        temp_path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds something, or was never made
        folder.rmdir()
