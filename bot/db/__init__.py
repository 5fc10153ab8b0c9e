"""The database: every SQL statement of LoraCode, as repositories over one SQLite connection.

A repository holds the reads and transactions of one noun. A transaction that touches several nouns calls
their module-level functions, which take the open `sqlite3.Connection` and neither begin nor commit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bot.db.access import AccessRepository
from bot.db.accounts import AccountRepository
from bot.db.jobs import JobRepository
from bot.db.loras import LoraRepository
from bot.db.monitoring import MonitoringRepository, TableCounts
from bot.db.outbox import OutboxRepository
from bot.db.photo_sets import PhotoSetRepository
from bot.db.photos import PhotoRepository
from bot.db.privacy import ErasureResult, PrivacyRepository, StoredData
from bot.db.results import ReferencedFiles, ResultRepository
from bot.db.sharing import SharingRepository
from bot.db.sqlite.connection import Connection
from bot.db.sqlite.snapshot import (
    StatusSnapshot,
    check_integrity,
    copy_database,
    hold_exclusively,
    list_referenced_files,
    read_status_snapshot,
)
from bot.db.statements.shares import (
    MAX_FORWARDED_PER_DAY,
    MAX_PENDING_REQUESTS,
    MAX_PEOPLE_PER_LINK,
    MAX_REQUESTS_PER_DAY,
)
from bot.db.statements.trainings import AddPhotosResult

__all__ = [
    "MAX_FORWARDED_PER_DAY",
    "MAX_PENDING_REQUESTS",
    "MAX_PEOPLE_PER_LINK",
    "MAX_REQUESTS_PER_DAY",
    "AddPhotosResult",
    "Database",
    "ErasureResult",
    "ReferencedFiles",
    "StatusSnapshot",
    "StoredData",
    "TableCounts",
    "check_integrity",
    "copy_database",
    "hold_exclusively",
    "list_referenced_files",
    "read_status_snapshot",
]


class Database:
    """The repositories over one SQLite file; each method of theirs that writes is one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.access = AccessRepository(connection)
        self.accounts = AccountRepository(connection)
        self.jobs = JobRepository(connection)
        self.loras = LoraRepository(connection)
        self.monitoring = MonitoringRepository(connection)
        self.outbox = OutboxRepository(connection)
        self.photo_sets = PhotoSetRepository(connection)
        self.photos = PhotoRepository(connection)
        self.privacy = PrivacyRepository(connection)
        self.results = ResultRepository(connection)
        self.sharing = SharingRepository(connection)

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime]) -> Database:
        """Open or create the database. Raise DatabaseError with one readable line where that fails."""
        return cls(await Connection.open(path, clock))

    async def close(self) -> None:
        """Close the database. It may be called twice."""
        await self._connection.close()

    async def checkpoint_wal(self) -> None:
        """Move the write-ahead log into the file and truncate it, so that deleted bytes leave it too."""
        await self._connection.fetch_rows("PRAGMA wal_checkpoint(TRUNCATE)")
