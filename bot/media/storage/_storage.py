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
from bot.media.storage._work_files import WorkStorage

#: What we name files that rows name; others in these folders are not ours to delete.
_RESULT_PATTERNS = {
    "loras": re.compile(r"[0-9]{8}(-[0-9]+)?\.safetensors"),
    "pictures": re.compile(r"[0-9]+-[0-9]+\.png"),
}
#: Names that are looked up at once.
_BATCH_SIZE = 100
#: Picks from names of files in a folder those that no row names.
FindUnreferenced = Callable[[str, Sequence[str]], Awaitable[Sequence[str]]]
#: A file younger than this may belong to somebody who is just writing it.
_MIN_ORPHAN_AGE_S = 600.0


class Storage(WorkStorage):
    """Files under `DATA_DIR`. Names are ours, never a person's."""

    async def write_lora(
        self, code: LoraCode, data: bytes, continuation_job_id: JobId | None = None
    ) -> tuple[str, str]:
        """Store a LoRA; gives its name and the SHA-256 of its bytes.

        That of a `further` training has a name of its own: it is not yet the one that is drawn with.
        """
        name = (
            f"{code}.safetensors"
            if continuation_job_id is None
            else f"{code}-{continuation_job_id}.safetensors"
        )
        await self._write_shielded(self._root / "loras" / name, data)
        return name, hashlib.sha256(data).hexdigest()

    async def read_lora(self, name: str) -> bytes:
        """Return a LoRA's bytes; FileNotFoundError when somebody took it away."""
        return await asyncio.to_thread(self._disk.read, self.lora_path(name))

    def lora_path(self, name: str) -> Path:
        """Return where a LoRA lies."""
        return self._root / "loras" / name

    async def delete_lora(self, code: LoraCode) -> None:
        """Delete the files of a Lora that is nobody's any more, parts of it that were handed over too."""
        for path in await asyncio.to_thread(self._lora_files, code):
            await asyncio.to_thread(self._disk.delete, path)

    async def delete_lora_file(self, name: str) -> None:
        """Delete a LoRA that another one took the place of, or that came too late to be anybody's."""
        await asyncio.to_thread(self._disk.delete, self.lora_path(name))

    async def write_picture(self, job_id: JobId, number: int, png: bytes) -> str:
        """Store a picture; gives its name."""
        name = f"{job_id}-{number}.png"
        await self._write_shielded(self._root / "pictures" / name, png)
        return name

    async def read_picture(self, name: str) -> bytes:
        """Return a picture's bytes; FileNotFoundError when it is gone."""
        return await asyncio.to_thread(self._disk.read, self.picture_path(name))

    def picture_path(self, name: str) -> Path:
        """Return where a picture lies."""
        return self._root / "pictures" / name

    async def delete_pictures(self, names: Iterable[str]) -> None:
        """Delete pictures."""
        for name in names:
            await asyncio.to_thread(self._disk.delete, self.picture_path(name))

    async def write_heartbeat(self, name: str, data: bytes) -> None:
        """Store what the bot last said of itself; a power failure may take it."""
        await self._write_shielded(self._root / name, data, is_durable=False)

    async def write_export(self, name: str, data: bytes) -> Path:
        """Store a file that is to be handed over; it is swept soon.

        Its name here is its own: the same may be asked for twice at once.
        """
        path = self._root / "exports" / f"{Path(name).stem}-{secrets.token_hex(4)}.safetensors"
        await self._write_shielded(path, data, is_durable=False)
        return path

    async def write_example(self, name: str, jpeg: bytes) -> None:
        """Store a drawn example; a power failure may take it."""
        await self._write_shielded(self.example_path(name), jpeg, is_durable=False)

    def example_path(self, name: str) -> Path:
        """Return where a drawn example lies, if it was drawn already."""
        return self._root / "examples" / name

    async def write_demo_photos(self, photos: Sequence[bytes]) -> Path:
        """Store the demo's drawn photos, to compare; a real person's are never kept. Gives their folder."""
        folder = self._root / "demo"
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        for number, photo in enumerate(photos, 1):
            await asyncio.to_thread(self._write_atomically, folder / f"photo-{number}.jpg", photo)
        return folder

    async def delete_orphans(self, open_jobs: Iterable[JobId], find_unreferenced: FindUnreferenced) -> int:
        """Delete what a crash left behind: half-written files, the work of ended jobs, results no row names.

        `unnamed` picks the latter from some names of a folder. Gives how many were deleted.
        """
        orphans = await asyncio.to_thread(self._orphaned_work, {str(job_id) for job_id in open_jobs})
        deleted_count = await asyncio.to_thread(self._delete_old, orphans)
        for folder in _RESULT_PATTERNS:
            # Some at a time: there may be a million, and the database answers others meanwhile.
            names = self._iter_results(folder)
            while batch := await asyncio.to_thread(_next_batch, names):
                unreferenced_paths = [
                    self._root / folder / name for name in await find_unreferenced(folder, batch)
                ]
                deleted_count += await asyncio.to_thread(self._delete_old, unreferenced_paths)
        return deleted_count

    def _lora_files(self, code: LoraCode) -> list[Path]:
        export_files = (self._root / "exports").glob(f"loracode-{code}-*.safetensors")
        return [*(self._root / "loras").glob(f"{code}*.safetensors"), *export_files]

    def _orphaned_work(self, open_jobs: set[str]) -> list[Path]:
        orphans = [path for folder in FOLDERS for path in (self._root / folder).glob("*.tmp")]
        orphans += (self._root / "exports").glob("*.safetensors")
        return orphans + [path for path in self._work_paths() if path.stem.partition("-")[0] not in open_jobs]

    def _iter_results(self, folder: str) -> Iterator[str]:
        with os.scandir(self._root / folder) as entries:
            yield from (each.name for each in entries if _RESULT_PATTERNS[folder].fullmatch(each.name))

    def _delete_old(self, paths: Iterable[Path]) -> int:
        newest_s = time.time() - _MIN_ORPHAN_AGE_S
        old_paths = [path for path in paths if _is_older_than(path, newest_s)]
        for path in old_paths:
            self._disk.delete(path)
        return len(old_paths)


def _next_batch(names: Iterator[str]) -> list[str]:
    return list(islice(names, _BATCH_SIZE))


def _is_older_than(path: Path, newest_s: float) -> bool:
    try:
        return path.stat().st_mtime < newest_s
    except FileNotFoundError:  # its job has just ended
        return False
