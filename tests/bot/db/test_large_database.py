"""A database with a million jobs is as quick as a small one; `python -m benchmarks.ledger` measures it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import pytest

from benchmarks.ledger.calls import MAKE_ARGUMENTS
from benchmarks.ledger.filling import DatabaseSize, fill_database
from benchmarks.ledger.world import RandomRecords
from bot.core.accounts import AccountId
from bot.db import Database
from bot.db.privacy import JOB_COUNT_BATCH_SIZE

SIZE = DatabaseSize(jobs=500, accounts=100)
#: Tables with one row for each person, job, picture, and the like.
GROWING = (
    *("accounts", "asks", "audit", "bans", "copies", "drafts", "further_codes", "identities", "invitations"),
    *(
        "jobs",
        "link_words",
        "loras",
        "notices",
        "photo_sets",
        "photos",
        "pictures",
        "questions",
        "reports",
        "shares",
    ),
    *("spent_codes", "updates", "used_quota"),
)
SCAN = re.compile(rf"SCAN ({'|'.join(GROWING)})\b")
#: `count_all` is for tests.
NOT_ASKED = {"monitoring.count_all"}
#: A repository with more than this is two.
MAX_METHODS = 25
#: They take the last few and stop.
LAST_FEW = {"monitoring.list_audit_entries", "sharing.list_reports"}
#: It reads what administrators ever wrote, which is little, and is asked for seldom.
READS_AUDIT = {"privacy.erase_account"}
#: An index of the few rows that are meant is read to its end.
OF_FEW = re.compile(r"USING (COVERING )?INDEX (asks_to_pass_on|copies_due|updates_left)$")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RandomRecords]:
    path = tmp_path / "ledger.sqlite3"
    for _ in fill_database(path, SIZE):
        pass  # it tells of each table
    ledger = await Database.open(path, lambda: datetime.now(UTC))
    yield RandomRecords(ledger, SIZE)
    await ledger.close()


def public_methods(repository: object) -> set[str]:
    names = {name for name in dir(repository) if not name.startswith("_")}
    return {name for name in names if callable(getattr(repository, name))}


async def test_every_method_of_every_repository_is_measured(world: RandomRecords) -> None:
    repositories = {name: each for name, each in vars(world.database).items() if not name.startswith("_")}
    methods = {f"{name}.{each}" for name, held in repositories.items() for each in public_methods(held)}
    assert MAKE_ARGUMENTS.keys() == (methods | {"checkpoint_wal"}) - NOT_ASKED


async def test_a_repository_has_few_methods(world: RandomRecords) -> None:
    repositories = {name: each for name, each in vars(world.database).items() if not name.startswith("_")}
    counts = {name: len(public_methods(each)) for name, each in repositories.items()}
    assert not {name: count for name, count in counts.items() if count > MAX_METHODS}


async def test_a_statement_reads_no_growing_table_from_end_to_end(world: RandomRecords) -> None:
    read: dict[str, list[str]] = {}
    for name, make in MAKE_ARGUMENTS.items():
        made = make(world)
        arguments = made if isinstance(made, tuple) else await made
        statements: list[str] = []
        await world.database._connection.read(lambda db, seen=statements: db.set_trace_callback(seen.append))
        await attrgetter(name)(world.database)(*arguments)
        await world.database._connection.read(lambda db: db.set_trace_callback(None))
        # What a trigger does is told as a comment.
        plans = [await planned(world.database, each) for each in statements if not each.startswith("--")]
        read[name] = [step for plan in plans for step in plan if SCAN.match(step) and not OF_FEW.search(step)]
    assert {name for name, steps in read.items() if steps} == LAST_FEW | READS_AUDIT, read


async def test_pictures_of_a_person_are_counted_however_many_they_are(world: RandomRecords) -> None:
    account = await world.create_account()
    await world.database._connection.write(lambda db: has_drawn(db, account, 2 * JOB_COUNT_BATCH_SIZE + 1))
    held = await world.database.privacy.count_stored_data(account)
    assert (held.jobs, held.pictures) == (2 * JOB_COUNT_BATCH_SIZE + 1, JOB_COUNT_BATCH_SIZE)


def has_drawn(db: sqlite3.Connection, account: AccountId, jobs: int) -> None:
    """Give somebody jobs of few moments, with a picture each, every second one deleted since."""
    first = db.execute("SELECT max(id) + 1 FROM jobs").fetchone()[0]
    [like] = db.execute("SELECT * FROM jobs WHERE kind = 'generate' AND status = 'done' LIMIT 1").fetchall()
    for number in range(jobs):
        row = dict(like) | {"id": first + number, "account": account, "created_ms": number // 7}
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        sql = f"INSERT INTO jobs ({names}) VALUES ({marks})"  # noqa: S608 - the columns of a row that is there
        db.execute(sql, tuple(row.values()))
        picture = (first + number, 1, f"{number}.png", "", None if number % 2 else 1)
        db.execute("INSERT INTO pictures VALUES (?, ?, ?, ?, ?)", picture)


async def planned(ledger: Database, statement: str) -> list[str]:
    return [row["detail"] for row in await ledger._connection.fetch_rows(f"EXPLAIN QUERY PLAN {statement}")]


async def test_a_reference_has_an_index(
    world: RandomRecords,
) -> None:
    assert await world.database._connection.read(unindexed) == []


def unindexed(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """List columns that refer to a row and begin no index."""
    missing = []
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        indexes = [row["name"] for row in db.execute(f"PRAGMA index_list({table})") if not row["partial"]]
        first = {db.execute(f"PRAGMA index_info({name})").fetchone()["name"] for name in indexes}
        first |= {row["name"] for row in db.execute(f"PRAGMA table_info({table})") if row["pk"] == 1}
        refers = {row["from"] for row in db.execute(f"PRAGMA foreign_key_list({table})")}
        missing += [(table, column) for column in sorted(refers - first)]
    return missing
