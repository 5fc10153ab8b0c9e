"""What is kept of a person, how it is deleted for good, and how two accounts become one."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from bot.core.accounts import AccountId, list_platforms
from bot.core.jobs import JobId
from bot.core.loras import LoraCode
from bot.db.sqlite.connection import Connection
from bot.db.statements import queue, shares

#: So many jobs and their pictures are counted in one read, a millisecond or two; then others have their turn.
JOB_COUNT_BATCH_SIZE = 500
_JOB_BATCH_SQL = """
SELECT id, kind = 'generate' AS is_drawing,
    (SELECT count(*) FROM pictures WHERE job = jobs.id AND deleted_ms IS NULL) AS pictures
FROM jobs WHERE account = ? AND id > ? ORDER BY id LIMIT ?
"""
# Deleting a LoRA must not give back what its training cost. A job that never began cost nothing.
_KEEP_USAGE_SQL = f"""
INSERT INTO used_quota (account, kind, at_ms, amount)
SELECT account, kind, created_ms, iif(kind = 'train', 1, {queue.PICTURE_COUNT_SQL}) FROM jobs
WHERE id = ? AND started_ms NOT NULL AND (kind = 'train' OR status != 'failed')
"""  # noqa: S608 - our own words
_ACCOUNT_TABLES = (
    "photos",
    "drafts",
    "photo_sets",
    "questions",
    "shares",
    "link_words",
    "reports",
    "asks",
    "used_quota",
    "identities",
)


@dataclass(frozen=True, slots=True)
class StoredData:
    """The number of rows that are kept of an account."""

    photos: int
    loras: int
    pictures: int
    jobs: int
    identities: int


@dataclass(frozen=True, slots=True)
class ErasureResult:
    """What was deleted. The caller deletes its files and stops its attempts."""

    codes: tuple[LoraCode, ...]
    photos: tuple[str, ...]  #: SHA-256 of each one's bytes
    pictures: tuple[str, ...]  #: names of files
    jobs: tuple[JobId, ...]
    open_jobs: tuple[JobId, ...]  #: those of them that waited or ran
    platforms: tuple[str, ...]


class PrivacyRepository:
    """The data of an account: counting it and deleting it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def count_stored_data(self, account: AccountId) -> StoredData:
        """Count the rows that are kept of an account."""
        sql = """
            SELECT (SELECT count(*) FROM photos WHERE account = :account) AS photos,
                (SELECT count(*) FROM loras WHERE account = :account) AS loras,
                (SELECT count(*) FROM identities WHERE account = :account) AS identities
        """
        row = await self._connection.read(
            lambda connection: connection.execute(sql, {"account": account}).fetchone()
        )
        jobs = pictures = last_id = 0
        while batch := await self._connection.fetch_rows(
            _JOB_BATCH_SQL, account, last_id, JOB_COUNT_BATCH_SIZE
        ):
            jobs += sum(each["is_drawing"] for each in batch)
            pictures += sum(each["pictures"] for each in batch)
            last_id = batch[-1]["id"]
        return StoredData(**row, jobs=jobs, pictures=pictures)

    async def erase_account(self, account: AccountId) -> ErasureResult:
        """Delete an account with its data, and all that anybody generated with its Loras; bare codes stay."""
        return await self._connection.write(lambda connection: erase_account(connection, account))

    async def erase_lora(self, code: LoraCode) -> ErasureResult:
        """Delete a Lora and all that anybody generated with it; its bare code stays."""
        return await self._connection.write(lambda connection: erase_lora(connection, code))


def erase_account(connection: sqlite3.Connection, account: AccountId) -> ErasureResult:
    """Delete an account with its data, and all that anybody generated with its Loras."""
    codes = [
        LoraCode(row["code"])
        for row in connection.execute(
            "SELECT code FROM loras WHERE account = ? ORDER BY created_ms, code", (account,)
        )
    ]
    own_jobs = [
        JobId(row["id"]) for row in connection.execute("SELECT id FROM jobs WHERE account = ?", (account,))
    ]
    identities = connection.execute(
        "SELECT platform FROM identities WHERE account = ? ORDER BY platform", (account,)
    ).fetchall()
    photo_hashes = [
        row["data_sha256"]
        for row in connection.execute("SELECT data_sha256 FROM photos WHERE account = ?", (account,))
    ]
    files, open_jobs, jobs = _erase_loras(connection, codes, own_jobs)
    connection.execute(
        "DELETE FROM letters WHERE (platform, user_id) IN"
        " (SELECT platform, user_id FROM identities WHERE account = ?)",
        (account,),
    )
    # What they just wrote, and what waits behind it.
    connection.execute(
        "UPDATE updates SET body = NULL, user_id = '' WHERE body IS NOT NULL AND user_id IN"
        " (SELECT user_id FROM identities WHERE account = ?"
        " AND platform IN (SELECT value FROM json_each(?)))",
        (account, json.dumps(list_platforms(lambda traits: traits.stores_updates))),
    )
    # What they reported and no administrator has read yet names them.
    connection.execute(
        "DELETE FROM letters WHERE EXISTS (SELECT 1 FROM identities WHERE account = ?"
        " AND instr(letters.words, platform || ':' || user_id || ' ') > 0)",
        (account,),
    )
    _erase_from_audit(connection, account)
    connection.execute("UPDATE asks SET owner = NULL WHERE owner = ?", (account,))
    for table in _ACCOUNT_TABLES:
        connection.execute(f"DELETE FROM {table} WHERE account = ?", (account,))  # noqa: S608 - our own names
    connection.execute("DELETE FROM accounts WHERE id = ?", (account,))
    return ErasureResult(
        codes=tuple(codes),
        photos=tuple(photo_hashes),
        pictures=files,
        jobs=jobs,
        open_jobs=open_jobs,
        platforms=tuple(row["platform"] for row in identities),
    )


def _erase_from_audit(connection: sqlite3.Connection, account: AccountId) -> None:
    """Take the names and numbers of an account out of what administrators wrote about it."""
    user_ids = [
        row["user_id"]
        for row in connection.execute("SELECT user_id FROM identities WHERE account = ?", (account,))
    ]
    if not user_ids:
        return
    mention = re.compile(rf"(?:\w+:)?(?<!\w)(?:{'|'.join(map(re.escape, user_ids))})(?!\w)")
    for row in connection.execute("SELECT id, about FROM audit").fetchall():
        about = mention.sub("(erased)", row["about"])
        if about != row["about"]:
            connection.execute("UPDATE audit SET about = ? WHERE id = ?", (about, row["id"]))


def erase_lora(connection: sqlite3.Connection, code: LoraCode) -> ErasureResult:
    """Delete a Lora and all that anybody generated with it."""
    # Those of its trainings, and those that are being collected for a further one.
    rows = connection.execute(
        "DELETE FROM photos WHERE job IN (SELECT id FROM jobs WHERE code = :code AND kind = 'train')"
        " OR (job IS NULL AND account IN (SELECT account FROM photo_sets WHERE code = :code))"
        " RETURNING data_sha256",
        {"code": code},
    )
    photo_hashes = [row["data_sha256"] for row in rows.fetchall()]
    files, open_jobs, jobs = _erase_loras(connection, [code], [])
    return ErasureResult((code,), tuple(photo_hashes), files, jobs, open_jobs, ())


def _erase_loras(
    connection: sqlite3.Connection, codes: Sequence[LoraCode], extra_jobs: Iterable[JobId]
) -> tuple[tuple[str, ...], tuple[JobId, ...], tuple[JobId, ...]]:
    """Delete Loras with their jobs, and `extra_jobs`. Return picture files, open jobs and all jobs."""
    jobs = sorted({*extra_jobs, *(job for code in codes for job in _list_jobs_using(connection, code))})
    files, open_jobs = set[str](), []
    for job in jobs:
        row = connection.execute("SELECT status FROM jobs WHERE id = ?", (job,)).fetchone()
        if row["status"] in ("queued", "running"):
            open_jobs.append(job)
        pictures = connection.execute(
            "SELECT file, deleted_ms FROM pictures WHERE job = ?", (job,)
        ).fetchall()
        files.update(row["file"] for row in pictures)
        for notice in connection.execute("SELECT files FROM notices WHERE job = ?", (job,)):
            files.update(msgspec.json.decode(notice["files"], type=list[str]))
        files.difference_update(row["file"] for row in pictures if row["deleted_ms"] is not None)
        connection.execute(_KEEP_USAGE_SQL, (job,))
        for table in ("photos", "notices", "pictures", "copies"):
            connection.execute(f"DELETE FROM {table} WHERE job = ?", (job,))  # noqa: S608 - our own names
        shares.release_shares(connection, job, is_done=False)
        connection.execute("DELETE FROM jobs WHERE id = ?", (job,))
    for code in codes:
        for table in ("drafts", "shares", "invitations", "photo_sets", "loras"):
            connection.execute(f"DELETE FROM {table} WHERE code = ?", (code,))  # noqa: S608 - our own names
        connection.execute("DELETE FROM questions WHERE about = ?", (f"rename:{code}",))
        connection.execute("INSERT INTO spent_codes VALUES (?)", (code,))
    return tuple(sorted(files)), tuple(open_jobs), tuple(jobs)


def _list_jobs_using(connection: sqlite3.Connection, code: LoraCode) -> list[JobId]:
    """Return the jobs that use a Lora: as their first code, or inside the prompt."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE code = :code UNION SELECT job FROM further_codes WHERE code = :code",
        {"code": code},
    )
    return [JobId(row["id"]) for row in rows]
