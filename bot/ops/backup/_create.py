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
from bot.ops.backup._catalog import FOLDERS, LEDGER, MANIFEST, TIME, Backup, Manifest, newest
from bot.ops.backup._disk import sha256_of, sync_file, sync_folder, told, write_durably

log = logging.getLogger(__name__)

_UNFINISHED = ".unfinished"
#: People delete while files are copied; then the ledger is copied again, lest it name what is gone.
_MAX_ROUNDS = 5
#: Left free beside a backup, for the bot itself.
_SPARE_BYTES = 2**29
#: Disks round the time of a file, FAT up to 2 s.
_CLOCK_OF_DISKS_S = 2.0
#: Copies a ledger that may be written meanwhile.
Copy = Callable[[Path, Path], None]


def back_up(data_dir: Path, folder: Path, now: datetime, copy: Copy = db.copy_to) -> Backup:
    """Make a backup inside `folder`, also while a bot writes; BackupError in one readable line."""
    source = data_dir / LEDGER
    final = folder / f"loracode-{now.astimezone(UTC).strftime(TIME)}"
    with told(f"The backup {final} could not be made"):
        if not source.is_file():
            raise BackupError(f"There is no ledger in {data_dir}: nothing to back up.")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if final.exists():
            raise BackupError(f"{final} is there already.")
        for stale in folder.glob(f"loracode-*{_UNFINISHED}"):
            shutil.rmtree(stale)
        _make_sure_of_room(folder, source)
        before = newest(folder)
        making = final.with_name(final.name + _UNFINISHED)
        making.mkdir(mode=0o700)
        try:
            files, missing = _fill(making, data_dir, before, copy)
            manifest = Manifest(made_at=now, files=files, missing=missing)
            write_durably(making / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            making.rename(final)
            sync_folder(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
    return Backup(final, manifest)


def _make_sure_of_room(folder: Path, source: Path) -> None:
    wanted, free = source.stat().st_size + _SPARE_BYTES, shutil.disk_usage(folder).free
    if free < wanted:
        raise BackupError(
            f"A backup in {folder} needs {wanted / 2**20:.0f} MB, and {free / 2**20:.0f} MB are free."
        )


def _fill(
    making: Path, data_dir: Path, before: Path | None, copy: Copy
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Copy ledger and files until they belong to each other; gives digests, and what is missing."""
    missing: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        (making / LEDGER).unlink(missing_ok=True)
        copy(data_dir / LEDGER, making / LEDGER)
        (making / LEDGER).chmod(0o600)
        wanted = _named(making / LEDGER)
        now_missing = {name for name in wanted if not _bring(name, data_dir, making, before)}
        if now_missing <= missing:  # also when none is
            missing = now_missing
            break
        missing = now_missing
    _drop_others(making, wanted - missing)
    sync_file(making / LEDGER)
    if missing:
        log.warning("%d files that the ledger names are not in %s", len(missing), data_dir)
    digests = {name: sha256_of(making / name) for name in (LEDGER, *sorted(wanted - missing))}
    return digests, tuple(sorted(missing))


def _named(path: Path) -> set[str]:
    named = db.named_files(path)
    return {f"{folder}/{name}" for folder in FOLDERS for name in getattr(named, folder)}


def _bring(name: str, data_dir: Path, making: Path, before: Path | None) -> bool:
    """Put a file into a backup, if it is not in there yet; False when there is no such file."""
    source, target = data_dir / name, making / name
    if target.exists():
        return source.exists()
    target.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        if _linked(source, target):
            return True
        if before is None or not is_same(before / name, source) or not _linked(before / name, target):
            shutil.copy2(source, target)
            sync_file(target)
    except FileNotFoundError:
        return False
    return True


def is_same(earlier: Path, source: Path) -> bool:
    """Compare by size and time: a file is written once, beside its name, and renamed."""
    if not earlier.exists():
        return False
    one, other = earlier.stat(), source.stat()
    return one.st_size == other.st_size and abs(one.st_mtime - other.st_mtime) <= _CLOCK_OF_DISKS_S


def _linked(source: Path, target: Path) -> bool:
    """Let a file have a second name; False where the disk cannot."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without hard links
        return False
    return True


def _drop_others(making: Path, wanted: set[str]) -> None:
    """Delete what an earlier round copied and the last copy of the ledger does not name."""
    for folder in FOLDERS:
        for path in (making / folder).glob("*"):
            if f"{folder}/{path.name}" not in wanted:
                path.unlink()
