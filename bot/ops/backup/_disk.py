"""What a backup does with the disk: digests, durable writes, and what the disk says as one readable line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.core.errors import BackupError


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file for its owner only and wait until it lies on the disk."""
    path.write_bytes(data)
    path.chmod(0o600)
    sync_file(path)


def sync_file(path: Path) -> None:
    """Wait until what was written to a file lies on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until what was made or renamed in a folder lies on the disk, where the system can."""
    if os.name == "posix":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def wrap_os_errors(message: str) -> Iterator[None]:
    """Make one readable line of what the disk says."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{message}: {error.strerror or error}") from error
