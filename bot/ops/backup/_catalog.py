"""Backups in their folder: what is in each, which there are, and which are too old."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bot.ops.backup._disk import told

LEDGER, MANIFEST = "ledger.sqlite3", "manifest.json"
#: What rows name files of.
FOLDERS = ("loras", "pictures")
TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"loracode-([0-9]{8}T[0-9]{6}Z)")


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
        """Say in a few words what is in it."""
        count = len(self.manifest.files) - 1
        missing = len(self.manifest.missing)
        return f"the ledger and {count} files" + (f"; {missing} were not there" if missing else "")


def all_in(folder: Path) -> list[tuple[datetime, Path]]:
    """List the backups in a folder, the oldest first."""
    with told(f"The backups in {folder} cannot be listed"):
        return [(made_at, path) for made_at, path in _dated(folder) if (path / MANIFEST).is_file()]


def _dated(folder: Path) -> list[tuple[datetime, Path]]:
    """List what has a backup's name, also without a manifest: what was left when one was being deleted."""
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(
        (datetime.strptime(match[1], TIME).replace(tzinfo=UTC), path) for match, path in matches if match
    )


def newest(folder: Path) -> Path | None:
    """Give the newest backup in a folder."""
    backups = all_in(folder)
    return backups[-1][1] if backups else None


def forget_old(folder: Path, keep_days: int, now: datetime) -> list[Path]:
    """Delete backups older than that, as photos of people are in them; gives those that are gone."""
    limit = now - timedelta(days=keep_days)
    with told(f"Old backups in {folder} could not be deleted"):
        old = [path for made_at, path in _dated(folder) if made_at <= limit]
        for path in old:
            shutil.rmtree(path)
    return old
