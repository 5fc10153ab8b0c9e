"""Putting a backup back: every file is compared with the manifest first."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from bot import db
from bot.core.errors import BackupError
from bot.ops.backup._catalog import LEDGER, MANIFEST, Backup, Manifest, newest
from bot.ops.backup._create import back_up
from bot.ops.backup._disk import sha256_of, sync_file, sync_folder, told


def restore(folder: Path, data_dir: Path, now: datetime, *, replace: bool = False) -> Backup:
    """Check a backup and put it into a data folder that no bot uses; BackupError in one readable line.

    `folder` is a backup, or holds several: then the newest. With `replace`, what is in the data folder now is
    backed up beside the backup first.
    """
    with told(f"{folder} could not be put back"):
        chosen = folder if (folder / MANIFEST).is_file() else newest(folder)
        if chosen is None:
            raise BackupError(f"There is no backup in {folder}.")
        backup = Backup(chosen, _checked(chosen))
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with told(f"{chosen} could not be put back"), db.nobody_else(data_dir / LEDGER):
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
            if sha256_of(folder / name) != digest:
                raise BackupError(f"{folder / name} is not as it was backed up; take another backup.")
        except OSError as error:
            raise BackupError(f"{folder / name} cannot be read: {error.strerror}") from error
    db.check(folder / LEDGER)
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
    sync_folder(data_dir)


def _replaced(source: Path, target: Path) -> None:
    """Copy beside, rename: a copy and no link, as the backup has to stay as it is."""
    beside = target.with_name(target.name + ".tmp")
    shutil.copy2(source, beside)
    sync_file(beside)
    beside.chmod(0o600)
    beside.replace(target)
