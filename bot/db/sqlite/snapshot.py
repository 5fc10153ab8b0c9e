"""Reading a database from outside its connection: beside a bot that writes, or while there is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.core.errors import DatabaseError
from bot.db.results import ReferencedFiles, query_referenced_files
from bot.db.sqlite.connection import acquire_process_lock
from bot.db.sqlite.migrate import read_migrations

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The queue at one moment."""

    running_jobs: int
    queued_jobs: int
    pending_notices: int


def copy_database(database_path: Path, target: Path) -> None:
    """Copy a database that may be written meanwhile: whole transactions only.

    One step over all pages: a copy in several steps begins anew whenever somebody writes, so under load it
    would never end. Writers do not wait for it, as the database keeps a write-ahead log.
    """
    with _open_readonly(database_path) as source, closing(sqlite3.connect(target)) as destination:
        source.backup(destination, pages=-1)
        # A copy is one file: without this it would want a write-ahead log of its own to be read.
        destination.execute("PRAGMA journal_mode=DELETE")


def check_integrity(database_path: Path) -> None:
    """Raise DatabaseError where a database is damaged, or was written by a newer version."""
    with _open_readonly(database_path) as connection:
        integrity = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
        if integrity == "ok":
            applied_migrations = int(connection.execute("SELECT count(*) FROM migrations").fetchone()[0])
    if integrity != "ok":
        raise DatabaseError(f"{database_path} is damaged: {integrity.splitlines()[0]}")
    if applied_migrations > len(read_migrations()):
        raise DatabaseError(
            f"{database_path} was written by a newer LoraCode: upgrade, or take an earlier backup."
        )


def list_referenced_files(database_path: Path) -> ReferencedFiles:
    """Return the files that the rows of a database refer to."""
    with _open_readonly(database_path) as connection:
        return query_referenced_files(connection)


@contextmanager
def hold_exclusively(database_path: Path) -> Iterator[None]:
    """Lock a database against every other process. Raise DatabaseError where one uses it."""
    with closing(acquire_process_lock(database_path.with_suffix(".lock"))):
        yield


def read_status_snapshot(database_path: Path) -> StatusSnapshot:
    """Return the state of the queue."""
    with _open_readonly(database_path) as connection:
        by_status = dict(
            connection.execute(
                "SELECT status, count(*) FROM jobs WHERE kind IN ('train', 'generate')"
                " AND status IN ('queued', 'running') GROUP BY status"
            )
        )
        pending_notices = connection.execute("SELECT count(*) FROM notices WHERE state = 'owed'").fetchone()[
            0
        ]
    return StatusSnapshot(by_status.get("running", 0), by_status.get("queued", 0), pending_notices)


@contextmanager
def _open_readonly(database_path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database read only. Raise DatabaseError with one readable line where SQLite fails."""
    try:
        with closing(
            sqlite3.connect(f"{database_path.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise DatabaseError(f"The database {database_path} cannot be read: {error}") from error
