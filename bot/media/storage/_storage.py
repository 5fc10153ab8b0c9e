"""Files under the data folder: what people keep, and the sweeping of what nobody does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from bot.core.jobs import JobId
from bot.core.loras import LoraCode
from bot.media.storage._folder import FOLDERS
from bot.media.storage._work_files import WorkFiles

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


class Files(WorkFiles):
    """Files under `DATA_DIR`. Names are ours, never a person's."""

    async def write_lora(self, code: LoraCode, data: bytes, further: JobId | None = None) -> tuple[str, str]:
        """Store a LoRA; gives its name and the SHA-256 of its bytes.

        That of a `further` training has a name of its own: it is not yet the one that is drawn with.
        """
        name = f"{code}.safetensors" if further is None else f"{code}-{further}.safetensors"
        await self._written(self._root / "loras" / name, data)
        return name, hashlib.sha256(data).hexdigest()

    async def read_lora(self, name: str) -> bytes:
        """Give a LoRA's bytes; FileNotFoundError when somebody took it away."""
        return await asyncio.to_thread(self._disk.read, self.lora_path(name))

    def lora_path(self, name: str) -> Path:
        """Say where a LoRA lies."""
        return self._root / "loras" / name

    async def forget_lora(self, code: LoraCode) -> None:
        """Delete the files of a Lora that is nobody's any more, parts of it that were handed over too."""
        for path in await asyncio.to_thread(self._loras, code):
            await asyncio.to_thread(self._disk.delete, path)

    async def forget_lora_file(self, name: str) -> None:
        """Delete a LoRA that another one took the place of, or that came too late to be anybody's."""
        await asyncio.to_thread(self._disk.delete, self.lora_path(name))

    async def write_picture(self, job_id: JobId, number: int, png: bytes) -> str:
        """Store a picture; gives its name."""
        name = f"{job_id}-{number}.png"
        await self._written(self._root / "pictures" / name, png)
        return name

    async def read_picture(self, name: str) -> bytes:
        """Give a picture's bytes; FileNotFoundError when it is gone."""
        return await asyncio.to_thread(self._disk.read, self.picture_path(name))

    def picture_path(self, name: str) -> Path:
        """Say where a picture lies."""
        return self._root / "pictures" / name

    async def forget_pictures(self, names: Iterable[str]) -> None:
        """Delete pictures."""
        for name in names:
            await asyncio.to_thread(self._disk.delete, self.picture_path(name))

    async def write_pulse(self, name: str, data: bytes) -> None:
        """Store what the bot last said of itself; a power failure may take it."""
        await self._written(self._root / name, data, durably=False)

    async def write_export(self, name: str, data: bytes) -> Path:
        """Store a file that is to be handed over; it is swept soon.

        Its name here is its own: the same may be asked for twice at once.
        """
        path = self._root / "exports" / f"{Path(name).stem}-{secrets.token_hex(4)}.safetensors"
        await self._written(path, data, durably=False)
        return path

    async def write_example(self, name: str, jpeg: bytes) -> None:
        """Store a drawn example; a power failure may take it."""
        await self._written(self.example_path(name), jpeg, durably=False)

    def example_path(self, name: str) -> Path:
        """Say where a drawn example lies, if it was drawn already."""
        return self._root / "examples" / name

    async def write_demo_photos(self, photos: Sequence[bytes]) -> Path:
        """Store the demo's drawn photos, to compare; a real person's are never kept. Gives their folder."""
        folder = self._root / "demo"
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        for number, photo in enumerate(photos, 1):
            await asyncio.to_thread(self._write, folder / f"photo-{number}.jpg", photo)
        return folder

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

    def _loras(self, code: LoraCode) -> list[Path]:
        exported = (self._root / "exports").glob(f"loracode-{code}-*.safetensors")
        return [*(self._root / "loras").glob(f"{code}*.safetensors"), *exported]

    def _left_work(self, open_jobs: set[str]) -> list[Path]:
        stale = [path for folder in FOLDERS for path in (self._root / folder).glob("*.tmp")]
        stale += (self._root / "exports").glob("*.safetensors")
        return stale + [path for path in self._all_work() if path.stem.partition("-")[0] not in open_jobs]

    def _results_in(self, folder: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as found:
            yield from (each.name for each in found if _OURS[folder].fullmatch(each.name))

    def _delete_old(self, stale: Iterable[Path]) -> int:
        before = time.time() - _BEING_WRITTEN_S
        old = [path for path in stale if _written_before(path, before)]
        for path in old:
            self._disk.delete(path)
        return len(old)


def _next_of(names: Iterator[str]) -> list[str]:
    return list(islice(names, _AT_ONCE))


def _written_before(path: Path, time_s: float) -> bool:
    try:
        return path.stat().st_mtime < time_s
    except FileNotFoundError:  # its job has just ended
        return False
