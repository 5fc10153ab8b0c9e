"""A new DATA_DIR that is made once in a session and copied."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from bot.db.sqlite.migrate import migrate, read_migrations
from bot.media.storage import Storage

DATABASE = "ledger.sqlite3"


@cache
def _new_database() -> bytes:
    """Return a database of the newest version with nothing in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # As the bot sets them; WAL stays in the file.
            connection.execute("PRAGMA page_size=16384")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            migrate(connection, read_migrations())
        return path.read_bytes()


def create_data_dir(folder: Path) -> Storage:
    """Make a folder a DATA_DIR, unless it is one. Migrating a new database takes 0.4 s, a copy nothing."""
    storage = Storage(folder)
    storage.create_folders()
    if not (path := folder / DATABASE).exists():
        path.write_bytes(_new_database())
    return storage
