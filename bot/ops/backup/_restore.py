"""Putting a backup back: every file is compared with the manifest first."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

import msgspec

from bot import db
from bot.core.errors import BackupError
from bot.ops.backup._catalog import DATABASE_NAME, MANIFEST_NAME, Backup, Manifest, newest_backup
from bot.ops.backup._create import create_backup
from bot.ops.backup._disk import sha256_of, sync_file, sync_folder, wrap_os_errors


def restore(folder: Path, data_dir: Path, now: datetime, *, replace: bool = False) -> Backup:
    """Check a backup and put it into a data folder that no bot uses; BackupError in one readable line.

    `folder` is a backup, or holds several: then the newest. With `replace`, what is in the data folder now is
    backed up beside the backup first.
    """
    with wrap_os_errors(f"{folder} could not be put back"):
        source = folder if (folder / MANIFEST_NAME).is_file() else newest_backup(folder)
        if source is None:
            raise BackupError(f"There is no backup in {folder}.")
        backup = Backup(source, _verify_backup(source))
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with wrap_os_errors(f"{source} could not be put back"), db.hold_exclusively(data_dir / DATABASE_NAME):
        if (data_dir / DATABASE_NAME).exists():
            if not replace:
                raise BackupError(
                    f"There is a database in {data_dir} already. With --replace it is backed up to "
                    f"{source.parent} and then replaced."
                )
            create_backup(data_dir, source.parent, now)
        _restore_files(backup, data_dir)
    return backup


def _verify_backup(folder: Path) -> Manifest:
    """Compare every file of a backup with its manifest."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupError(f"{folder / MANIFEST_NAME} cannot be read: {error}") from error
    for name, digest in manifest.files.items():
        if not _is_backup_file(name):
            raise BackupError(f"{folder / MANIFEST_NAME} names {name}, which is no file of ours.")
        try:
            if sha256_of(folder / name) != digest:
                raise BackupError(f"{folder / name} is not as it was backed up; take another backup.")
        except OSError as error:
            raise BackupError(f"{folder / name} cannot be read: {error.strerror}") from error
    db.check_integrity(folder / DATABASE_NAME)
    return manifest


def _is_backup_file(name: str) -> bool:
    return (
        name == DATABASE_NAME
        or re.fullmatch(r"(loras|pictures)/[0-9A-Za-z][0-9A-Za-z._-]*", name) is not None
    )


def _restore_files(backup: Backup, data_dir: Path) -> None:
    """Files first, the database that names them last."""
    for name in backup.manifest.files:
        if name != DATABASE_NAME:
            (data_dir / name).parent.mkdir(exist_ok=True, mode=0o700)
            _replace_file(backup.folder / name, data_dir / name)
    for name in (f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm"):  # they belong to the database that goes
        (data_dir / name).unlink(missing_ok=True)
    _replace_file(backup.folder / DATABASE_NAME, data_dir / DATABASE_NAME)
    sync_folder(data_dir)


def _replace_file(source: Path, target: Path) -> None:
    """Copy beside, rename: a copy and no link, as the backup has to stay as it is."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.copy2(source, temporary)
    sync_file(temporary)
    temporary.chmod(0o600)
    temporary.replace(target)
