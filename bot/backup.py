"""Backups: the ledger as it was at one instant, with the files its rows name; and putting one back.

A backup is a folder `loracode-<time>` with `ledger.sqlite3`, `loras/`, `pictures/` and, written last,
`manifest.json` with the SHA-256 of each. It is made under another name and renamed, so that it is whole or
not there. Files are never changed once written, so a backup shares them with the data folder or the backup
before it (hard links) where the disk can.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from bot import ledger
from bot.errors import BackupError, LoraCodeError

log = logging.getLogger(__name__)

LEDGER, MANIFEST = "ledger.sqlite3", "manifest.json"
_NAME = re.compile(r"loracode-([0-9]{8}T[0-9]{6}Z)")
_TIME = "%Y%m%dT%H%M%SZ"
_UNFINISHED = ".unfinished"
#: People delete while files are copied; then the ledger is copied again, lest it name what is gone.
_MAX_ROUNDS = 5
#: Left free beside a backup, for the bot itself.
_SPARE_BYTES = 2**29
_FOLDERS = ("loras", "pictures")
#: Copies a ledger that may be written meanwhile.
Copy = Callable[[Path, Path], None]


def main(data_dir: Path, folder: Path, now: datetime) -> int:
    """Back up and say so in one line, whatever becomes of it; 1 when there is no backup."""
    if os.name == "posix":
        os.nice(10)
    try:
        made = back_up(data_dir, folder, now)
    except LoraCodeError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{made.folder}: {made}\n")
    return 0


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


def back_up(data_dir: Path, folder: Path, now: datetime, copy: Copy = ledger.copy_to) -> Backup:
    """Make a backup inside `folder`, also while a bot writes; BackupError in one readable line."""
    source = data_dir / LEDGER
    if not source.is_file():
        raise BackupError(f"There is no ledger in {data_dir}: nothing to back up.")
    final = folder / f"loracode-{now.astimezone(UTC).strftime(_TIME)}"
    with _told(f"The backup {final} could not be made"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if final.exists():
            raise BackupError(f"{final} is there already.")
        _make_sure_of_room(folder, source)
        for stale in folder.glob(f"loracode-*{_UNFINISHED}"):
            shutil.rmtree(stale)
        before = newest(folder)
        making = final.with_name(final.name + _UNFINISHED)
        making.mkdir(mode=0o700)
        try:
            files, missing = _fill(making, data_dir, before, copy)
            manifest = Manifest(made_at=now, files=files, missing=missing)
            _write(making / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
            making.rename(final)
            _sync(folder)
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
    _sync_file(making / LEDGER)
    if missing:
        log.warning("%d files that the ledger names are not in %s", len(missing), data_dir)
    digests = {name: _digest(making / name) for name in (LEDGER, *sorted(wanted - missing))}
    return digests, tuple(sorted(missing))


def _named(path: Path) -> set[str]:
    named = ledger.named_files(path)
    return {f"{folder}/{name}" for folder in _FOLDERS for name in getattr(named, folder)}


def _bring(name: str, data_dir: Path, making: Path, before: Path | None) -> bool:
    """Put a file into a backup, if it is not in there yet; False when there is no such file."""
    source, target = data_dir / name, making / name
    if target.exists():
        return source.exists()
    target.parent.mkdir(exist_ok=True, mode=0o700)
    try:
        if _linked(source, target):
            return True
        if before is None or not _is_same(before / name, source) or not _linked(before / name, target):
            shutil.copy2(source, target)
            _sync_file(target)
    except FileNotFoundError:
        return False
    return True


def _is_same(earlier: Path, source: Path) -> bool:
    """Compare by size and time: a file is written once, beside its name, and renamed."""
    if not earlier.exists():
        return False
    one, other = earlier.stat(), source.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


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
    for folder in _FOLDERS:
        for path in (making / folder).glob("*"):
            if f"{folder}/{path.name}" not in wanted:
                path.unlink()


def all_in(folder: Path) -> list[tuple[datetime, Path]]:
    """List the backups in a folder, the oldest first."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is not None and (path / MANIFEST).is_file():
            found.append((datetime.strptime(match[1], _TIME).replace(tzinfo=UTC), path))
    return sorted(found)


def newest(folder: Path) -> Path | None:
    """Give the newest backup in a folder."""
    backups = all_in(folder)
    return backups[-1][1] if backups else None


def forget_old(folder: Path, keep_days: int, now: datetime) -> list[Path]:
    """Delete backups older than that, as photos of people are in them; gives those that are gone."""
    limit = now - timedelta(days=keep_days)
    old = [path for made_at, path in all_in(folder) if made_at <= limit]
    with _told("An old backup could not be deleted"):
        for path in old:
            shutil.rmtree(path)
    return old


def restore(folder: Path, data_dir: Path, now: datetime, *, replace: bool = False) -> Backup:
    """Check a backup and put it into a data folder that no bot uses; BackupError in one readable line.

    `folder` is a backup, or holds several: then the newest. With `replace`, what is in the data folder now is
    backed up beside the backup first.
    """
    chosen = folder if (folder / MANIFEST).is_file() else newest(folder)
    if chosen is None:
        raise BackupError(f"There is no backup in {folder}.")
    backup = Backup(chosen, _checked(chosen))
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ledger.nobody_else(data_dir / LEDGER), _told(f"{chosen} could not be put back"):
        if (data_dir / LEDGER).exists():
            if not replace:
                raise BackupError(
                    f"There is a ledger in {data_dir} already. With --replace it is backed up to "
                    f"{chosen.parent} and then replaced."
                )
            back_up(data_dir, chosen.parent, now)
        _put_back(backup, data_dir)
    return backup


def _checked(folder: Path) -> Manifest:
    """Compare every file of a backup with its manifest."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from error
    for name, digest in manifest.files.items():
        if not _is_ours(name):
            raise BackupError(f"{folder / MANIFEST} names {name}, which is no file of ours.")
        try:
            if _digest(folder / name) != digest:
                raise BackupError(f"{folder / name} is not as it was backed up; take another backup.")
        except OSError as error:
            raise BackupError(f"{folder / name} cannot be read: {error.strerror}") from error
    ledger.check(folder / LEDGER)
    return manifest


def _is_ours(name: str) -> bool:
    return name == LEDGER or re.fullmatch(r"(loras|pictures)/[0-9A-Za-z][0-9A-Za-z._-]*", name) is not None


def _put_back(backup: Backup, data_dir: Path) -> None:
    """Files first, the ledger that names them last."""
    for name in backup.manifest.files:
        if name != LEDGER:
            (data_dir / name).parent.mkdir(exist_ok=True, mode=0o700)
            _replaced(backup.folder / name, data_dir / name)
    for name in (f"{LEDGER}-wal", f"{LEDGER}-shm"):  # they belong to the ledger that goes
        (data_dir / name).unlink(missing_ok=True)
    _replaced(backup.folder / LEDGER, data_dir / LEDGER)
    _sync(data_dir)


def _replaced(source: Path, target: Path) -> None:
    """Copy beside, rename: a copy and no link, as the backup has to stay as it is."""
    beside = target.with_name(target.name + ".tmp")
    shutil.copy2(source, beside)
    _sync_file(beside)
    beside.chmod(0o600)
    beside.replace(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
    _sync_file(path)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Make one readable line of what the disk says."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{what}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3])))
