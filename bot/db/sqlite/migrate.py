"""Migrations: numbered SQL files, each applied with its record in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.core.errors import DatabaseError

MIGRATIONS_DIR = Path(__file__).resolve().parents[3] / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file; `sha256` tells whether it was edited after it was applied."""

    number: int
    name: str
    sql: str
    sha256: str


def read_migrations(folder: Path = MIGRATIONS_DIR) -> list[Migration]:
    """Return the migrations of a folder, in order. Raise DatabaseError where one is missing or double."""
    migrations = []
    for path in sorted(folder.glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        migrations.append(Migration(int(path.name[:4]), path.stem, sql, digest))
    if not migrations:
        raise DatabaseError(f"There are no migrations in {folder}: install LoraCode with pip's --editable.")
    if [each.number for each in migrations] != list(range(1, len(migrations) + 1)):
        raise DatabaseError(f"The migrations in {folder} are not numbered 1, 2, 3, …")
    return migrations


def migrate(connection: sqlite3.Connection, migrations: list[Migration]) -> None:
    """Apply the migrations that are missing; `connection` must be in autocommit mode.

    Raise DatabaseError where the file was written by a newer version, or a migration was edited since.
    """
    # SQLite has no SHA-256.
    connection.create_function("sha256_hex", 1, _sha256_hex, deterministic=True)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
    )
    applied_hashes = dict(connection.execute("SELECT number, sha256 FROM migrations").fetchall())
    if len(applied_hashes) > len(migrations):
        raise DatabaseError("The database was written by a newer LoraCode; upgrade, or use another DATA_DIR.")
    for migration in migrations:
        if migration.number not in applied_hashes:
            _apply_migration(connection, migration)
        elif applied_hashes[migration.number] != migration.sha256:
            raise DatabaseError(
                f"Migration {migration.name} was changed after it was applied to this database."
            )


def _sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _apply_migration(connection: sqlite3.Connection, migration: Migration) -> None:
    # Not executescript: it commits first, and the record must be in the same transaction.
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _split_statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?)", (migration.number, migration.name, migration.sha256)
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _split_statements(sql: str) -> Iterator[str]:
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        raise DatabaseError("A migration ends inside a statement.")
