"""Builds a large database by a few large statements; one that was begun is gone on with."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bot.db.sqlite.migrate import migrate, read_migrations

#: Between two jobs that were asked for: some 17,000 a day.
JOB_INTERVAL_MS = 5_000
#: The last jobs wait.
QUEUED_JOBS = 1_000
#: Sets that are collected, drafts, questions, letters and the like: what is open at one moment.
OPEN_ITEMS = 2_000
#: Account 1 asked for one of so many jobs.
HEAVY_USER_SHARE = 200


@dataclass(frozen=True)
class DatabaseSize:
    """How large a database is; of five jobs one is a training."""

    jobs: int
    accounts: int

    @property
    def open_items(self) -> int:
        """How many things are open at one moment."""
        return min(OPEN_ITEMS, self.accounts // 5)

    @property
    def queued_jobs(self) -> int:
        """How many jobs wait."""
        return min(QUEUED_JOBS, self.jobs // 20)


_NUMBERS = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})"
#: A table, what it has as many rows as (empty: what the statement selects), and the statement that fills it.
_FILL: tuple[tuple[str, str, str], ...] = (
    (
        "accounts",
        "accounts",
        "INSERT INTO accounts (id, created_ms, consented_ms) SELECT n, :now - n, :now - n FROM numbers",
    ),
    ("identities", "accounts", "INSERT INTO identities SELECT 'telegram', n, n, 'it' FROM numbers"),
    (
        "loras",
        "trainings",
        "INSERT INTO loras (code, account, token, class_word, state, file, sha256, created_ms, ready_ms)"
        " SELECT printf('%08d', n), (n - 1) % :accounts + 1, 'sks', 'person',"
        " iif(5 * n > :jobs - :waiting, 'training', 'ready'), printf('%08d.safetensors', n),"
        " printf('%064x', n), :now - (:jobs - 5 * n) * :apart, :now - (:jobs - 5 * n) * :apart FROM numbers",
    ),
    (
        "jobs",
        "jobs",
        """
        INSERT INTO jobs (kind, status, account, code, wish, platform, chat_id, user_id, attempt, step, steps,
            error, created_ms, started_ms, finished_ms)
        SELECT iif(n % 5 = 0, 'train', 'generate'),
            CASE WHEN n > :jobs - :waiting THEN 'queued' WHEN n % 100 = 7 THEN 'failed'
                WHEN n % 100 = 9 THEN 'cancelled' ELSE 'done' END,
            whose, printf('%08d', iif(n % 5 = 0, n / 5, whose)),
            CASE WHEN n % 5 = 0 THEN '{}' WHEN n % 50 = 1
                THEN printf('{"prompt":"%08d on a boat","codes":["%08d"]}', whose % :accounts + 1,
                    whose % :accounts + 1)
                ELSE '{"prompt":"standing on a boat at sunset, wide angle, film grain"}' END,
            'telegram', whose, whose, 1, 25, 25, iif(n % 100 = 7, 'It broke.', NULL),
            :now - (:jobs - n) * :apart - 60000,
            iif(n > :jobs - :waiting, NULL, :now - (:jobs - n) * :apart - 40000),
            iif(n > :jobs - :waiting, NULL, :now - (:jobs - n) * :apart)
        FROM (SELECT n, CASE WHEN n % 5 = 0 THEN (n / 5 - 1) % :accounts + 1 WHEN n % :heavy = 1 THEN 1
            ELSE n * 7919 % :accounts + 1 END AS whose FROM numbers)
        """,
    ),
    (
        "pictures",
        "",
        "INSERT INTO pictures (job, number, file, recipe) SELECT id, 1, printf('%d-1.png', id),"
        " 'standing on a boat at sunset, wide angle, film grain' || char(10) || 'Steps: 25, Sampler: Euler a,"
        " CFG scale: 7, Seed: ' || id || ', Size: 512x512, Model: sd15' FROM jobs"
        " WHERE kind = 'generate' AND status = 'done'",
    ),
    (
        "notices",
        "",
        "INSERT INTO notices (job, kind, files, state, next_try_ms, message_id, created_ms) SELECT id,"
        " iif(kind = 'train', 'train_done', 'generate_done'),"
        " printf('[\"%d-%d.png\"]', id, kind = 'generate'), iif(id % 5000 = 1, 'owed', 'sent'),"
        " finished_ms, id, finished_ms FROM jobs WHERE status = 'done'",
    ),
    (
        "photos",
        "",
        "INSERT INTO photos (account, job, sha256, data_sha256, created_ms, data) SELECT account, id,"
        " printf('%064x', n), printf('%064x', n),"
        " :now, randomblob(30000) FROM jobs, (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3 UNION SELECT 4"
        " UNION SELECT 5) WHERE kind = 'train' AND status = 'queued'",
    ),
    (
        "photo_sets",
        "open",
        "INSERT INTO photo_sets (account, platform, chat_id, user_id, touched_ms)"
        " SELECT n, 'telegram', n, n, :now - n * 1000 FROM numbers",
    ),
    (
        "shares",
        "accounts",
        "INSERT INTO shares (code, account, allowed, number, platform, chat_id, user_id, changed_ms)"
        " SELECT printf('%08d', n % :accounts + 1), n, 'always', n, 'telegram', n, n, :now - n FROM numbers",
    ),
    (
        "asks",
        "open",
        "INSERT INTO asks (account, owner, at_ms) SELECT n, n % :accounts + 1, :now - n * 1000 FROM numbers",
    ),
    (
        "invitations",
        "open",
        "INSERT INTO invitations (word, code, expires_ms) SELECT 'i' || n, printf('%08d', n),"
        " :now + 86400000 FROM numbers",
    ),
    ("link_words", "open", "INSERT INTO link_words SELECT 'l' || n, n, :now + 86400000 FROM numbers"),
    ("entry_words", "open", "INSERT INTO entry_words SELECT 'e' || n, :now + 86400000 FROM numbers"),
    (
        "drafts",
        "open",
        "INSERT INTO drafts SELECT n, printf('%08d', n), '{\"prompt\":\"\"}', 'telegram', n, n, :now, ''"
        " FROM numbers",
    ),
    ("questions", "open", "INSERT INTO questions SELECT n, 'set', 'telegram', :now, n, n, '' FROM numbers"),
    (
        "letters",
        "open",
        "INSERT INTO letters (platform, user_id, words, next_try_ms, created_ms)"
        " SELECT 'telegram', n, 'Tonight it pauses for an hour.', :now, :now FROM numbers",
    ),
    (
        "reports",
        "open",
        "INSERT INTO reports (code, account, words, created_ms)"
        " SELECT printf('%08d', n), n, 'This is me.', :now - n * 100000 FROM numbers",
    ),
    ("bans", "open", "INSERT INTO bans SELECT 'discord', n, :now FROM numbers"),
    (
        "audit",
        "open",
        "INSERT INTO audit (at_ms, admin, command, about) SELECT :now - n, 'telegram:1', 'status', ''"
        " FROM numbers",
    ),
    (
        "updates",
        "accounts",
        "INSERT INTO updates (id, user_id, came_ms) SELECT n, '', :now - n * 1000 FROM numbers",
    ),
    (
        "samples",
        "day",
        "INSERT INTO samples SELECT :now - n * 60000, 5, 9, 'a card', 97, 4, 6, 70, 0 FROM numbers",
    ),
    ("account_numbers", "", "INSERT INTO account_numbers (id) VALUES (:accounts)"),
)


def fill_database(path: Path, size: DatabaseSize) -> Iterator[str]:
    """Fill the database at `path`, each table in one transaction, and tell of each; one with rows is left."""
    now = round(time.time() * 1000)
    rows = {
        "accounts": size.accounts,
        "trainings": size.jobs // 5,
        "jobs": size.jobs,
        "open": size.open_items,
    }
    values = {"now": now, "jobs": size.jobs, "accounts": size.accounts, "waiting": size.queued_jobs}
    values |= {"apart": JOB_INTERVAL_MS, "heavy": HEAVY_USER_SHARE}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # Nothing is lost that could not be made again.
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-200000")
        db.execute("PRAGMA foreign_keys=OFF")
        migrate(db, read_migrations())
        for table, row_kind, sql in _FILL:
            if db.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]:  # noqa: S608 - our names
                continue
            started_s = time.monotonic()
            numbers = _NUMBERS.format(rows.get(row_kind, 1440)) if row_kind else ""
            db.execute("BEGIN")
            db.execute(f"{numbers} {sql}", values)
            count = db.execute("SELECT changes()").fetchone()[0]
            db.execute("COMMIT")
            yield f"{table}: {count:,} rows in {time.monotonic() - started_s:.0f} s"
        db.execute("DELETE FROM account_numbers")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
