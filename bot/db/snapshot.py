"""The ledger from outside its one connection: read only, beside a bot that writes, or while there is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.core.errors import LedgerError
from bot.db.connection import only_process
from bot.db.migrate import read_migrations
from bot.db.results import named_in
from bot.db.rows import Named

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Glance:
    """What is seen of the queue at one look."""

    running: int
    waiting: int
    notices_owed: int


def copy_to(ledger: Path, target: Path) -> None:
    """Copy a ledger that may be written meanwhile: all that was committed until now, and nothing half.

    One step over all pages: a copy in several steps begins anew whenever somebody writes, so under load it
    would never end. Writers do not wait for it, as the ledger keeps a write-ahead log.
    """
    with _reading(ledger) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=-1)
        # A copy is one file: without this it would want a write-ahead log of its own to be read.
        copy.execute("PRAGMA journal_mode=DELETE")


def check(ledger: Path) -> None:
    """LedgerError when a ledger is damaged, or of a newer form than this LoraCode knows."""
    with _reading(ledger) as db:
        told = str(db.execute("PRAGMA integrity_check").fetchone()[0])
        if told == "ok":
            applied = int(db.execute("SELECT count(*) FROM migrations").fetchone()[0])
    if told != "ok":
        raise LedgerError(f"{ledger} is damaged: {told.splitlines()[0]}")
    if applied > len(read_migrations()):
        raise LedgerError(f"{ledger} was written by a newer LoraCode: upgrade, or take an earlier backup.")


def named_files(ledger: Path) -> Named:
    """List the files that a ledger's rows name."""
    with _reading(ledger) as db:
        return named_in(db)


@contextmanager
def nobody_else(ledger: Path) -> Iterator[None]:
    """Keep every other process from using a ledger; LedgerError when one does."""
    with closing(only_process(ledger.with_suffix(".lock"))):
        yield


def glance(ledger: Path) -> Glance:
    """Look at the queue."""
    with _reading(ledger) as db:
        by_status = dict(
            db.execute(
                "SELECT status, count(*) FROM jobs WHERE kind IN ('train', 'generate')"
                " AND status IN ('queued', 'running') GROUP BY status"
            )
        )
        owed = db.execute("SELECT count(*) FROM notices WHERE state = 'owed'").fetchone()[0]
    return Glance(by_status.get("running", 0), by_status.get("queued", 0), owed)


@contextmanager
def _reading(ledger: Path) -> Iterator[sqlite3.Connection]:
    """Open read only; sqlite's errors become one readable line."""
    try:
        with closing(
            sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S)
        ) as db:
            yield db
    except sqlite3.Error as error:
        raise LedgerError(f"The ledger {ledger} cannot be read: {error}") from error
