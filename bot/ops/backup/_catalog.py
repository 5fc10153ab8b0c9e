"""Backups in their folder: what is in each, which there are, and which are too old."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bot.ops.backup._disk import wrap_os_errors

DATABASE_NAME, MANIFEST_NAME = "ledger.sqlite3", "manifest.json"
#: What rows name files of.
FOLDERS = ("loras", "pictures")
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME_PATTERN = re.compile(r"loracode-([0-9]{8}T[0-9]{6}Z)")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup: the SHA-256 of each file by its name."""

    made_at: datetime
    files: dict[str, str]
    #: Named by rows, yet not there: somebody took them out of the data folder.
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made or put back."""

    folder: Path
    manifest: Manifest

    def __str__(self) -> str:
        """Return in a few words what is in it."""
        count = len(self.manifest.files) - 1
        missing = len(self.manifest.missing)
        return f"the database and {count} files" + (f"; {missing} were not there" if missing else "")


def list_backups(folder: Path) -> list[tuple[datetime, Path]]:
    """List the backups in a folder, the oldest first."""
    with wrap_os_errors(f"The backups in {folder} cannot be listed"):
        return [(made_at, path) for made_at, path in _list_dated(folder) if (path / MANIFEST_NAME).is_file()]


def _list_dated(folder: Path) -> list[tuple[datetime, Path]]:
    """List what has a backup's name, also without a manifest: what was left when one was being deleted."""
    matches = (
        [(_NAME_PATTERN.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    )
    return sorted(
        (datetime.strptime(match[1], TIME_FORMAT).replace(tzinfo=UTC), path)
        for match, path in matches
        if match
    )


def newest_backup(folder: Path) -> Path | None:
    """Return the newest backup in a folder."""
    backups = list_backups(folder)
    return backups[-1][1] if backups else None


def delete_old_backups(folder: Path, keep_days: int, now: datetime) -> list[Path]:
    """Delete backups older than that, as photos of people are in them; gives those that are gone."""
    cutoff = now - timedelta(days=keep_days)
    with wrap_os_errors(f"Old backups in {folder} could not be deleted"):
        old_paths = [path for made_at, path in _list_dated(folder) if made_at <= cutoff]
        for path in old_paths:
            shutil.rmtree(path)
    return old_paths
