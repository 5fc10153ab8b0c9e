"""The one place that writes files: LoRAs, checkpoints, pictures. Whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from bot.domain import JobId, LoraCode
from bot.errors import SettingsError

log = logging.getLogger(__name__)

_FOLDERS = ("loras", "checkpoints", "candidates", "pictures", "samples", "previews", "exports", "examples")
#: What we name files that rows name; others in these folders are not ours to delete.
_OURS = {
    "loras": re.compile(r"[0-9]{8}(-[0-9]+)?\.safetensors"),
    "pictures": re.compile(r"[0-9]+-[0-9]+\.png"),
}
#: Names that are looked up at once.
_AT_ONCE = 100
#: Picks from names of files in a folder those that no row names.
Unnamed = Callable[[str, Sequence[str]], Awaitable[Sequence[str]]]
#: A file younger than this may belong to somebody who is just writing it.
_BEING_WRITTEN_S = 600.0


class Disk:
    """The calls that files are written with, one by one, so that a test can let each of them fail."""

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file, or an old one from its beginning."""
        return path.open("wb")

    def write(self, file: IO[bytes], data: bytes) -> None:
        """Hand bytes to the system."""
        file.write(data)
        file.flush()

    def sync(self, file_no: int) -> None:
        """Wait until what was written, or what was renamed in a folder, lies on the disk."""
        os.fsync(file_no)

    def replace(self, path: Path, by: Path) -> None:
        """Put a file in another's place."""
        by.replace(path)

    def read(self, path: Path) -> bytes:
        """Give a file's bytes."""
        return path.read_bytes()

    def delete(self, path: Path) -> None:
        """Delete a file, if it is there."""
        path.unlink(missing_ok=True)


class Files:
    """Files under `DATA_DIR`. Names are ours, never a person's."""

    def __init__(self, data_dir: Path, disk: Disk | None = None) -> None:
        self._root = data_dir
        self._disk = disk or Disk()

    @property
    def root(self) -> Path:
        """The data folder."""
        return self._root

    def free_share(self) -> float:
        """Say how much of the disk is free, 0 to 1."""
        disk = shutil.disk_usage(self._root)
        return disk.free / disk.total

    def prepare(self) -> None:
        """Create the folders, for their owner only; SettingsError when that cannot be."""
        try:
            for folder in _FOLDERS:
                (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._root.chmod(0o700)
            if os.name == "posix" and self._root.stat().st_mode & 0o077:  # a Windows folder, a share
                log.warning("DATA_DIR: others on this machine may look into %s", self._root)
            probe = self._root / "probe.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SettingsError(f"DATA_DIR: {self._root} is not writable ({error.strerror}).") from error

    async def write_lora(self, code: LoraCode, data: bytes, further: JobId | None = None) -> tuple[str, str]:
        """Store a LoRA; gives its name and the SHA-256 of its bytes.

        That of a `further` training has a name of its own: it is not yet the one that is drawn with.
        """
        name = f"{code}.safetensors" if further is None else f"{code}-{further}.safetensors"
        await self._written(self._root / "loras" / name, data)
        return name, hashlib.sha256(data).hexdigest()

    async def write_picture(self, job_id: JobId, number: int, png: bytes) -> str:
        """Store a picture; gives its name."""
        name = f"{job_id}-{number}.png"
        await self._written(self._root / "pictures" / name, png)
        return name

    async def write_checkpoint(self, job_id: JobId, data: bytes) -> None:
        """Store where a training can go on, over the earlier one."""
        await self._written(self._checkpoint(job_id), data)

    async def read_checkpoint(self, job_id: JobId) -> bytes | None:
        """Give where a training can go on; None when it has not come that far."""
        return await asyncio.to_thread(self._read, self._checkpoint(job_id))

    async def read_lora(self, name: str) -> bytes:
        """Give a LoRA's bytes; FileNotFoundError when somebody took it away."""
        return await asyncio.to_thread(self._disk.read, self.lora_path(name))

    async def write_candidate(self, job_id: JobId, step: int, lora: bytes) -> None:
        """Store the LoRA that a training had at a step."""
        await self._written(self._candidate(job_id, step), lora)

    async def read_candidate(self, job_id: JobId, step: int) -> bytes | None:
        """Give the LoRA that a training had at a step; None when it is not kept."""
        return await asyncio.to_thread(self._read, self._candidate(job_id, step))

    async def write_candidate_pictures(self, job_id: JobId, step: int, pictures: Sequence[bytes]) -> None:
        """Store what a training's LoRA drew at a step, to be judged by; a power failure may take it."""
        for number, png in enumerate(pictures, 1):
            path = self._root / "candidates" / f"{job_id}-{step}-{number}.png"
            await self._written(path, png, durably=False)

    async def read_candidate_pictures(self, job_id: JobId) -> dict[int, list[bytes]]:
        """Give the pictures that a training's LoRAs were judged by, by their step."""
        return await asyncio.to_thread(self._read_candidate_pictures, job_id)

    async def keep_candidate(self, job_id: JobId, step: int) -> None:
        """Delete the LoRAs that a training had at other steps."""
        kept = self._candidate(job_id, step)
        for path in await asyncio.to_thread(self._candidates, job_id):
            if path != kept:
                await asyncio.to_thread(self._disk.delete, path)

    async def write_sample(self, job_id: JobId, step: int, png: bytes) -> None:
        """Store a picture that a training drew on its way."""
        await self._written(self._root / "samples" / f"{job_id}-{step}.png", png)

    async def write_preview(self, job_id: JobId, png: bytes) -> None:
        """Store what a picture looks like so far; a power failure may take it."""
        await self._written(self.preview_path(job_id), png, durably=False)

    async def write_pulse(self, name: str, data: bytes) -> None:
        """Store what the bot last said of itself; a power failure may take it."""
        await self._written(self._root / name, data, durably=False)

    async def write_export(self, name: str, data: bytes) -> Path:
        """Store a file that is to be handed over; it is swept soon."""
        path = self._root / "exports" / name
        await self._written(path, data, durably=False)
        return path

    async def write_example(self, name: str, jpeg: bytes) -> None:
        """Store a drawn example; a power failure may take it."""
        await self._written(self.example_path(name), jpeg, durably=False)

    async def read_picture(self, name: str) -> bytes:
        """Give a picture's bytes; FileNotFoundError when it is gone."""
        return await asyncio.to_thread(self._disk.read, self.picture_path(name))

    async def forget_pictures(self, names: Iterable[str]) -> None:
        """Delete pictures."""
        for name in names:
            await asyncio.to_thread(self._disk.delete, self.picture_path(name))

    async def forget_lora(self, code: LoraCode) -> None:
        """Delete the files of a Lora that is nobody's any more."""
        for path in await asyncio.to_thread(self._loras, code):
            await asyncio.to_thread(self._disk.delete, path)

    async def forget_lora_file(self, name: str) -> None:
        """Delete a LoRA that another one took the place of, or that came too late to be anybody's."""
        await asyncio.to_thread(self._disk.delete, self.lora_path(name))

    async def write_demo_photos(self, photos: Sequence[bytes]) -> Path:
        """Store the demo's drawn photos, to compare; a real person's are never kept. Gives their folder."""
        folder = self._root / "demo"
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        for number, photo in enumerate(photos, 1):
            await asyncio.to_thread(self._write, folder / f"photo-{number}.jpg", photo)
        return folder

    async def read_samples(self, job_id: JobId) -> dict[int, bytes]:
        """Give a training's samples by their step."""
        return await asyncio.to_thread(self._read_samples, job_id)

    async def forget_work(self, job_id: JobId) -> None:
        """Delete what a job needed only while it ran: its checkpoint, candidates, samples, preview."""
        await asyncio.to_thread(self._forget_work, job_id)

    async def sweep(self, open_jobs: Iterable[JobId], unnamed: Unnamed) -> int:
        """Delete what a crash left behind: half-written files, the work of ended jobs, results no row names.

        `unnamed` picks the latter from some names of a folder. Gives how many were deleted.
        """
        left = await asyncio.to_thread(self._left_work, {str(job_id) for job_id in open_jobs})
        swept = await asyncio.to_thread(self._delete_old, left)
        for folder in _OURS:
            # Some at a time: there may be a million, and the ledger answers others meanwhile.
            names = self._results_in(folder)
            while some := await asyncio.to_thread(_next_of, names):
                stray = [self._root / folder / name for name in await unnamed(folder, some)]
                swept += await asyncio.to_thread(self._delete_old, stray)
        return swept

    def lora_path(self, name: str) -> Path:
        """Say where a LoRA lies."""
        return self._root / "loras" / name

    def picture_path(self, name: str) -> Path:
        """Say where a picture lies."""
        return self._root / "pictures" / name

    def example_path(self, name: str) -> Path:
        """Say where a drawn example lies, if it was drawn already."""
        return self._root / "examples" / name

    def preview_path(self, job_id: JobId) -> Path:
        """Say where the preview of a running generation lies, if there is one yet."""
        return self._root / "previews" / f"{job_id}.png"

    def _checkpoint(self, job_id: JobId) -> Path:
        return self._root / "checkpoints" / f"{job_id}.safetensors"

    def _candidate(self, job_id: JobId, step: int) -> Path:
        return self._root / "candidates" / f"{job_id}-{step}.safetensors"

    def _candidates(self, job_id: JobId) -> list[Path]:
        return list((self._root / "candidates").glob(f"{job_id}-*.safetensors"))

    def _loras(self, code: LoraCode) -> list[Path]:
        return list((self._root / "loras").glob(f"{code}*.safetensors"))

    def _candidate_pictures(self, job_id: JobId) -> list[Path]:
        return list((self._root / "candidates").glob(f"{job_id}-*.png"))

    def _read_candidate_pictures(self, job_id: JobId) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for path in sorted(self._candidate_pictures(job_id), key=lambda each: each.stem.rpartition("-")):
            found.setdefault(int(path.stem.split("-")[1]), []).append(self._disk.read(path))
        return found

    def _samples(self, job_id: JobId) -> list[Path]:
        return list((self._root / "samples").glob(f"{job_id}-*.png"))

    def _read_samples(self, job_id: JobId) -> dict[int, bytes]:
        return {int(path.stem.rpartition("-")[2]): self._disk.read(path) for path in self._samples(job_id)}

    def _forget_work(self, job_id: JobId) -> None:
        files = [self._checkpoint(job_id), self.preview_path(job_id), *self._candidate_pictures(job_id)]
        for path in (*files, *self._candidates(job_id), *self._samples(job_id)):
            self._disk.delete(path)

    def _left_work(self, open_jobs: set[str]) -> list[Path]:
        stale = [path for folder in _FOLDERS for path in (self._root / folder).glob("*.tmp")]
        stale += (self._root / "exports").glob("*.safetensors")
        work = [
            *(self._root / "checkpoints").glob("*.safetensors"),
            *(self._root / "candidates").iterdir(),
            *(self._root / "samples").glob("*.png"),
            *(self._root / "previews").glob("*.png"),
        ]
        return stale + [path for path in work if path.stem.partition("-")[0] not in open_jobs]

    def _results_in(self, folder: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as found:
            yield from (each.name for each in found if _OURS[folder].fullmatch(each.name))

    def _delete_old(self, stale: Iterable[Path]) -> int:
        before = time.time() - _BEING_WRITTEN_S
        old = [path for path in stale if _written_before(path, before)]
        for path in old:
            self._disk.delete(path)
        return len(old)

    def _read(self, path: Path) -> bytes | None:
        try:
            return self._disk.read(path)
        except FileNotFoundError:
            return None

    async def _written(self, path: Path, data: bytes, durably: bool = True) -> None:
        """Write in a thread and be cancelled only afterwards: what comes late would outlive its clean-up."""
        write = asyncio.ensure_future(asyncio.to_thread(self._write, path, data, durably))
        try:
            await asyncio.shield(write)
        except asyncio.CancelledError:
            await asyncio.wait([write])
            raise

    def _write(self, path: Path, data: bytes, durably: bool = True) -> None:
        """Write beside, flush to the disk, rename: a reader sees the old file or the new one."""
        beside = path.with_name(path.name + ".tmp")
        with self._disk.create(beside) as file:
            self._disk.write(file, data)
            if durably:
                self._disk.sync(file.fileno())
        self._disk.replace(path, by=beside)
        if durably and os.name == "posix":  # the rename itself is durable once the folder is
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                self._disk.sync(folder)
            finally:
                os.close(folder)


def _next_of(names: Iterator[str]) -> list[str]:
    return list(islice(names, _AT_ONCE))


def _written_before(path: Path, time_s: float) -> bool:
    try:
        return path.stat().st_mtime < time_s
    except FileNotFoundError:  # its job has just ended
        return False
