"""Brings a ledger to this version: numbered SQL files, each applied with its record in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.core.errors import LedgerError

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; `sha256` tells whether it was edited after it was applied."""

    number: int
    name: str
    sql: str
    sha256: str


def read_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Read the migrations of a folder, in order; LedgerError when one is missing or double."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(path.name[:4]), path.stem, sql, digest))
    if not found:
        raise LedgerError(f"There are no migrations in {folder}: install LoraCode with pip's --editable.")
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise LedgerError(f"The migrations in {folder} are not numbered 1, 2, 3, …")
    return found


def migrate(db: sqlite3.Connection, migrations: list[Migration]) -> None:
    """Apply what is missing. `db` must be in autocommit mode; LedgerError when it is not our ledger."""
    db.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
    )
    applied = dict(db.execute("SELECT number, sha256 FROM migrations").fetchall())
    if len(applied) > len(migrations):
        raise LedgerError("The ledger was written by a newer LoraCode; upgrade, or use another DATA_DIR.")
    for each in migrations:
        if each.number not in applied:
            _apply(db, each)
        elif applied[each.number] != each.sha256:
            raise LedgerError(f"Migration {each.name} was changed after it was applied to this ledger.")


def _apply(db: sqlite3.Connection, each: Migration) -> None:
    # Not executescript: it commits first, and the record must be in the same transaction.
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(each.sql):
            db.execute(statement)
        db.execute("INSERT INTO migrations VALUES (?, ?, ?)", (each.number, each.name, each.sha256))
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        raise LedgerError("A migration ends inside a statement.")
