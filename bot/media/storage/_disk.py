"""The disk, as files are written with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


class Disk:
    """The calls that files are written with, one by one, so that a test can let each of them fail."""

    def create(self, path: Path) -> IO[bytes]:
        """Open a new file, or an old one from its beginning."""
        return path.open("wb")

    def write(self, file: IO[bytes], data: bytes) -> None:
        """Hand bytes to the system."""
        file.write(data)
        file.flush()

    def sync(self, fd: int) -> None:
        """Wait until what was written, or what was renamed in a folder, lies on the disk."""
        os.fsync(fd)

    def replace(self, path: Path, source: Path) -> None:
        """Put a file in another's place."""
        source.replace(path)

    def read(self, path: Path) -> bytes:
        """Return a file's bytes."""
        return path.read_bytes()

    def delete(self, path: Path) -> None:
        """Delete a file, if it is there."""
        path.unlink(missing_ok=True)
