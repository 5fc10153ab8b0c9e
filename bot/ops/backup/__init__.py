"""Backups: the database as it was at one instant, with the files its rows name; and putting one back.

A backup is a folder `loracode-<time>` with `ledger.sqlite3`, `loras/`, `pictures/` and, written last,
`manifest.json` with the SHA-256 of each. It is made under another name and renamed, so that it is whole or
not there. Files are never changed once written, so a backup shares them with the data folder or the backup
before it (hard links) where the disk can.
"""

from __future__ import annotations

from bot.ops.backup._catalog import Backup, delete_old_backups, list_backups, newest_backup
from bot.ops.backup._create import create_backup
from bot.ops.backup._restore import restore

__all__ = ["Backup", "create_backup", "delete_old_backups", "list_backups", "newest_backup", "restore"]
