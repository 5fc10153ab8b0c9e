"""The one place that writes files: LoRAs, checkpoints, pictures. Whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.domain import JobId, LoraCode
from bot.errors import SettingsError

_FOLDERS = ("loras", "checkpoints", "pictures", "samples")
#: A file younger than this may belong to somebody who is just writing it.
_BEING_WRITTEN_S = 600.0


class Files:
    """Files under `DATA_DIR`. Names are ours, never a person's."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir

    def prepare(self) -> None:
        """Create the folders, for their owner only; SettingsError when that cannot be."""
        try:
            for folder in _FOLDERS:
                (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._root.chmod(0o700)
            probe = self._root / "probe.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SettingsError(f"DATA_DIR: {self._root} is not writable ({error.strerror}).") from error

    async def write_lora(self, code: LoraCode, data: bytes) -> tuple[str, str]:
        """Store a LoRA; gives its name and the SHA-256 of its bytes."""
        name = f"{code}.safetensors"
        await _written(self._root / "loras" / name, data)
        return name, hashlib.sha256(data).hexdigest()

    async def write_picture(self, job_id: JobId, number: int, png: bytes) -> str:
        """Store a picture; gives its name."""
        name = f"{job_id}-{number}.png"
        await _written(self._root / "pictures" / name, png)
        return name

    async def write_checkpoint(self, job_id: JobId, data: bytes) -> None:
        """Store where a training can go on, over the earlier one."""
        await _written(self._checkpoint(job_id), data)

    async def read_checkpoint(self, job_id: JobId) -> bytes | None:
        """Give where a training can go on; None when it has not come that far."""
        return await asyncio.to_thread(_read, self._checkpoint(job_id))

    async def read_lora(self, name: str) -> bytes:
        """Give a LoRA's bytes; FileNotFoundError when somebody took it away."""
        return await asyncio.to_thread(self.lora_path(name).read_bytes)

    async def write_sample(self, job_id: JobId, step: int, png: bytes) -> None:
        """Store a picture that a training drew on its way."""
        await _written(self._root / "samples" / f"{job_id}-{step}.png", png)

    async def write_demo_photos(self, photos: Sequence[bytes]) -> Path:
        """Store the demo's drawn photos, to compare; a real person's are never kept. Gives their folder."""
        folder = self._root / "demo"
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        for number, photo in enumerate(photos, 1):
            await asyncio.to_thread(_write, folder / f"photo-{number}.jpg", photo)
        return folder

    async def read_samples(self, job_id: JobId) -> dict[int, bytes]:
        """Give a training's samples by their step."""
        return await asyncio.to_thread(self._read_samples, job_id)

    async def forget_work(self, job_id: JobId) -> None:
        """Delete what a training needed only while it ran: its checkpoint and samples."""
        await asyncio.to_thread(self._forget_work, job_id)

    async def sweep(self, open_jobs: Iterable[JobId]) -> int:
        """Delete what a crash left behind: half-written files, the work of ended jobs. Gives how many."""
        return await asyncio.to_thread(self._sweep, {str(job_id) for job_id in open_jobs})

    def lora_path(self, name: str) -> Path:
        """Say where a LoRA lies."""
        return self._root / "loras" / name

    def picture_path(self, name: str) -> Path:
        """Say where a picture lies."""
        return self._root / "pictures" / name

    def _checkpoint(self, job_id: JobId) -> Path:
        return self._root / "checkpoints" / f"{job_id}.safetensors"

    def _samples(self, job_id: JobId) -> list[Path]:
        return list((self._root / "samples").glob(f"{job_id}-*.png"))

    def _read_samples(self, job_id: JobId) -> dict[int, bytes]:
        return {int(path.stem.rpartition("-")[2]): path.read_bytes() for path in self._samples(job_id)}

    def _forget_work(self, job_id: JobId) -> None:
        for path in (self._checkpoint(job_id), *self._samples(job_id)):
            path.unlink(missing_ok=True)

    def _sweep(self, open_jobs: set[str]) -> int:
        stale = [path for folder in _FOLDERS for path in (self._root / folder).glob("*.tmp")]
        work = [
            *(self._root / "checkpoints").glob("*.safetensors"),
            *(self._root / "samples").glob("*.png"),
        ]
        stale += [path for path in work if path.stem.partition("-")[0] not in open_jobs]
        before = time.time() - _BEING_WRITTEN_S
        stale = [path for path in stale if path.stat().st_mtime < before]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def _written(path: Path, data: bytes) -> None:
    """Write in a thread and be cancelled only afterwards: what comes late would outlive its clean-up."""
    write = asyncio.ensure_future(asyncio.to_thread(_write, path, data))
    try:
        await asyncio.shield(write)
    except asyncio.CancelledError:
        await asyncio.wait([write])
        raise


def _write(path: Path, data: bytes) -> None:
    """Write beside, flush to the disk, rename: a reader sees the old file or the new one."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    if os.name == "posix":  # the rename itself is durable once the folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
