"""The one connection to the database, and the one place where transactions begin and end."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeVar

import aiosqlite

from bot.core.errors import DatabaseError, ReferenceGone
from bot.db.sqlite.migrate import migrate, read_migrations

T = TypeVar("T")
_PRAGMAS = (
    # Of a new database. Photos are most of what is written: in pages of 4 kB they take twice the time.
    "PRAGMA page_size=16384",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # Longer than a backup tool or an editor holds it: who gives up here ends the whole program.
    "PRAGMA busy_timeout=30000",
    "PRAGMA secure_delete=ON",
)


HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def to_ms(time: datetime) -> int:
    """Return a time as it is stored: whole milliseconds since 1970, UTC."""
    return round(time.timestamp() * 1000)


def from_ms(value: int) -> datetime:
    """Return the UTC time of a stored value."""
    return datetime.fromtimestamp(value / 1000, UTC)


class Connection:
    """Runs whole transactions in the connection's thread.

    A transaction is one synchronous function, so a cancelled caller cannot leave it half done: the function
    runs to its end in the thread whoever still waits for it.
    """

    def __init__(
        self, connection: aiosqlite.Connection, lock: IO[str], clock: Callable[[], datetime]
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._clock = clock

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime]) -> Connection:
        """Open or create the database and migrate it. Raise DatabaseError with one readable line."""
        lock = acquire_process_lock(path.with_suffix(".lock"))
        try:
            connection = await aiosqlite.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            lock.close()
            raise DatabaseError(f"The database {path} cannot be opened: {error}") from error
        instance = cls(connection, lock, clock)
        try:
            await asyncio.to_thread(path.chmod, 0o600)
            await instance._run_in_thread(_prepare_connection)
        except (sqlite3.Error, OSError) as error:
            await instance.close()
            raise DatabaseError(f"The database {path} cannot be used: {error}") from error
        except DatabaseError:
            await instance.close()
            raise
        return instance

    async def close(self) -> None:
        """Close the connection; it may be called twice."""
        await self._connection.close()
        self._lock.close()

    def now_ms(self) -> int:
        """Return the time as it is stored."""
        return to_ms(self._clock())

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on the connection and return its result. It runs between transactions."""
        return await self._run_in_thread(query)

    async def write(self, body: Callable[[sqlite3.Connection], T]) -> T:
        """Run `body` as one transaction, all of it or nothing, and return its result.

        Raise ReferenceGone where it refers to a row that is not there, and DatabaseError where SQLite fails.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = body(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        try:
            return await self._run_in_thread(transaction)
        except sqlite3.Error as error:
            # Errors of Python's own module, such as of a closed connection, have no name.
            if getattr(error, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_FOREIGNKEY":
                raise ReferenceGone("what a write refers to was deleted meanwhile") from error
            raise DatabaseError(f"The database could not be written: {error}") from error

    async def fetch_rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """Run one query and return its rows."""
        return await self.read(lambda connection: connection.execute(sql, values).fetchall())

    async def execute(self, sql: str, *values: object) -> None:
        """Run one statement as a transaction."""
        await self.write(lambda connection: connection.execute(sql, values))

    async def _run_in_thread(self, function: Callable[[sqlite3.Connection], T]) -> T:
        # aiosqlite runs what it is given in the connection's own thread, one after another: that is the
        # single writer. `_execute` is its only way to run a function there (pinned by the lock file).
        # Shielded, because a transaction that has begun goes to its end.
        # What is being carried out is known there too.
        context = copy_context()
        future = asyncio.ensure_future(
            self._connection._execute(
                lambda connection: context.run(function, connection), self._connection._conn
            )  # type: ignore[no-untyped-call]
        )
        return await asyncio.shield(future)


def _prepare_connection(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    migrate(connection, read_migrations())


def acquire_process_lock(path: Path) -> IO[str]:
    """Lock a file for as long as the database is open. Raise DatabaseError where another process holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        lock = path.open("a")
    except OSError as error:
        raise DatabaseError(f"DATA_DIR: {path.parent} is not writable ({error.strerror}).") from error
    try:
        _lock_file(lock)
    except OSError as error:
        lock.close()
        raise DatabaseError(f"Another LoraCode is already running on {path.parent}.") from error
    return lock


def _lock_file(lock: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
