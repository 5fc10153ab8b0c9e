"""Making a backup, also while a bot writes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bot import db
from bot.core.errors import BackupError
from bot.ops.backup._catalog import (
    DATABASE_NAME,
    FOLDERS,
    MANIFEST_NAME,
    TIME_FORMAT,
    Backup,
    Manifest,
    newest_backup,
)
from bot.ops.backup._disk import sha256_of, sync_file, sync_folder, wrap_os_errors, write_durably

log = logging.getLogger(__name__)

_UNFINISHED_SUFFIX = ".unfinished"
#: People delete while files are copied; then the database is copied again, lest it name what is gone.
_MAX_ROUNDS = 5
#: Left free beside a backup, for the bot itself.
_RESERVED_BYTES = 2**29
#: Disks round the time of a file, FAT up to 2 s.
_MTIME_TOLERANCE_S = 2.0
#: Copies a database that may be written meanwhile.
DatabaseCopier = Callable[[Path, Path], None]


def create_backup(
    data_dir: Path, folder: Path, now: datetime, copy_database: DatabaseCopier = db.copy_database
) -> Backup:
    """Make a backup inside `folder`, also while a bot writes; BackupError in one readable line."""
    source = data_dir / DATABASE_NAME
    target = folder / f"loracode-{now.astimezone(UTC).strftime(TIME_FORMAT)}"
    with wrap_os_errors(f"The backup {target} could not be made"):
        if not source.is_file():
            raise BackupError(f"There is no database in {data_dir}: nothing to back up.")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            raise BackupError(f"{target} is there already.")
        for leftover in folder.glob(f"loracode-*{_UNFINISHED_SUFFIX}"):
            shutil.rmtree(leftover)
        _check_free_space(folder, source)
        previous = newest_backup(folder)
        staging = target.with_name(target.name + _UNFINISHED_SUFFIX)
        staging.mkdir(mode=0o700)
        try:
            digests, missing = _fill_backup(staging, data_dir, previous, copy_database)
            manifest = Manifest(made_at=now, files=digests, missing=missing)
            write_durably(staging / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(manifest)))
            staging.rename(target)
            sync_folder(folder)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    return Backup(target, manifest)


def _check_free_space(folder: Path, source: Path) -> None:
    needed_bytes, free_bytes = source.stat().st_size + _RESERVED_BYTES, shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise BackupError(
            f"A backup in {folder} needs {needed_bytes / 2**20:.0f} MB, "
            f"and {free_bytes / 2**20:.0f} MB are free."
        )


def _fill_backup(
    staging: Path, data_dir: Path, previous: Path | None, copy_database: DatabaseCopier
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Copy database and files until they belong to each other; gives digests, and what is missing."""
    missing: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        (staging / DATABASE_NAME).unlink(missing_ok=True)
        copy_database(data_dir / DATABASE_NAME, staging / DATABASE_NAME)
        (staging / DATABASE_NAME).chmod(0o600)
        names = _referenced_files(staging / DATABASE_NAME)
        now_missing = {name for name in names if not _add_file(name, data_dir, staging, previous)}
        if now_missing <= missing:  # also when none is
            missing = now_missing
            break
        missing = now_missing
    _remove_unreferenced(staging, names - missing)
    sync_file(staging / DATABASE_NAME)
    if missing:
        log.warning("%d files that the database names are not in %s", len(missing), data_dir)
    digests = {name: sha256_of(staging / name) for name in (DATABASE_NAME, *sorted(names - missing))}
    return digests, tuple(sorted(missing))


def _referenced_files(database_path: Path) -> set[str]:
    referenced = db.list_referenced_files(database_path)
    return {f"{folder}/{name}" for folder in FOLDERS for name in getattr(referenced, folder)}


def _add_file(name: str, data_dir: Path, staging: Path, previous: Path | None) -> bool:
    """Put a file into a backup, if it is not in there yet; False when there is no such file."""
    source, target = data_dir / name, staging / name
    if target.exists():
        return source.exists()
    target.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        if _try_hardlink(source, target):
            return True
        if (
            previous is None
            or not is_same_file(previous / name, source)
            or not _try_hardlink(previous / name, target)
        ):
            shutil.copy2(source, target)
            sync_file(target)
    except FileNotFoundError:
        return False
    return True


def is_same_file(previous: Path, source: Path) -> bool:
    """Compare by size and time: a file is written once, beside its name, and renamed."""
    if not previous.exists():
        return False
    previous_stat, source_stat = previous.stat(), source.stat()
    return (
        previous_stat.st_size == source_stat.st_size
        and abs(previous_stat.st_mtime - source_stat.st_mtime) <= _MTIME_TOLERANCE_S
    )


def _try_hardlink(source: Path, target: Path) -> bool:
    """Let a file have a second name; False where the disk cannot."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without hard links
        return False
    return True


def _remove_unreferenced(staging: Path, names: set[str]) -> None:
    """Delete what an earlier round copied and the last copy of the database does not name."""
    for folder in FOLDERS:
        for path in (staging / folder).glob("*"):
            if f"{folder}/{path.name}" not in names:
                path.unlink()
