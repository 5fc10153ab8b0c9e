"""The data folder: it is there, it is its owner's only, and a file in it is whole or not there at all."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

from bot.core.errors import SettingsError
from bot.media.storage._disk import Disk

log = logging.getLogger(__name__)

FOLDERS = ("loras", "checkpoints", "candidates", "pictures", "samples", "previews", "exports", "examples")


class DataDirectory:
    """`DATA_DIR`, and how files are written into it."""

    def __init__(self, data_dir: Path, disk: Disk | None = None) -> None:
        self._root = data_dir
        self._disk = disk or Disk()

    @property
    def root(self) -> Path:
        """The data folder."""
        return self._root

    def free_disk_share(self) -> float:
        """Return how much of the disk is free, 0 to 1."""
        usage = shutil.disk_usage(self._root)
        return usage.free / usage.total

    def create_folders(self) -> None:
        """Create the folders, for their owner only; SettingsError when that cannot be."""
        try:
            for folder in FOLDERS:
                (self._root / folder).mkdir(parents=True, exist_ok=True)
            self._root.chmod(0o700)
            if os.name == "posix" and self._root.stat().st_mode & 0o077:  # a Windows folder, a share
                log.warning("DATA_DIR: others on this machine may look into %s", self._root)
            probe = self._root / "probe.tmp"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SettingsError(f"DATA_DIR: {self._root} is not writable ({error.strerror}).") from error

    def _read_optional(self, path: Path) -> bytes | None:
        try:
            return self._disk.read(path)
        except FileNotFoundError:
            return None

    async def _write_shielded(self, path: Path, data: bytes, is_durable: bool = True) -> None:
        """Write in a thread and be cancelled only afterwards: what comes late would outlive its clean-up."""
        task = asyncio.ensure_future(asyncio.to_thread(self._write_atomically, path, data, is_durable))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def _write_atomically(self, path: Path, data: bytes, is_durable: bool = True) -> None:
        """Write beside, flush to the disk, rename: a reader sees the old file or the new one."""
        temp_path = path.with_name(path.name + ".tmp")
        with self._disk.create(temp_path) as file:
            self._disk.write(file, data)
            if is_durable:
                self._disk.sync(file.fileno())
        self._disk.replace(path, source=temp_path)
        if is_durable and os.name == "posix":  # the rename itself is durable once the folder is
            folder_fd = os.open(path.parent, os.O_RDONLY)
            try:
                self._disk.sync(folder_fd)
            finally:
                os.close(folder_fd)
