"""Deleting for good, as statements inside one transaction. Of a Lora, its bare code stays."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from bot.core.accounts import AccountId
from bot.core.jobs import JobId
from bot.core.loras import LoraCode
from bot.db import sharing
from bot.db.rows import Erased

_OF_ACCOUNT = (
    "photos",
    "drafts",
    "photo_sets",
    "questions",
    "shares",
    "link_words",
    "reports",
    "asks",
    "identities",
)


def erase_account(db: sqlite3.Connection, account: AccountId) -> Erased:
    """Delete everything of an account, and all that anybody drew with its Loras."""
    codes = [
        LoraCode(row["code"])
        for row in db.execute(
            "SELECT code FROM loras WHERE account = ? ORDER BY created_ms, code", (account,)
        )
    ]
    own = [JobId(row["id"]) for row in db.execute("SELECT id FROM jobs WHERE account = ?", (account,))]
    identities = db.execute(
        "SELECT platform FROM identities WHERE account = ? ORDER BY platform", (account,)
    ).fetchall()
    photos = [
        hashlib.sha256(row["data"]).hexdigest()
        for row in db.execute("SELECT data FROM photos WHERE account = ?", (account,))
    ]
    files, open_jobs, jobs = _erase_loras(db, codes, own)
    db.execute(
        "DELETE FROM letters WHERE (platform, user_id) IN"
        " (SELECT platform, user_id FROM identities WHERE account = ?)",
        (account,),
    )
    # What they just wrote, and what waits behind it.
    db.execute(
        "UPDATE updates SET body = NULL, user_id = '' WHERE body IS NOT NULL AND user_id IN"
        " (SELECT user_id FROM identities WHERE account = ? AND platform = 'telegram')",
        (account,),
    )
    # What they reported and no administrator has read yet names them.
    db.execute(
        "DELETE FROM letters WHERE EXISTS (SELECT 1 FROM identities WHERE account = ?"
        " AND instr(letters.words, platform || ':' || user_id || ' ') > 0)",
        (account,),
    )
    db.execute("UPDATE asks SET owner = NULL WHERE owner = ?", (account,))
    for table in _OF_ACCOUNT:
        db.execute(f"DELETE FROM {table} WHERE account = ?", (account,))  # noqa: S608 - our own names
    db.execute("DELETE FROM accounts WHERE id = ?", (account,))
    return Erased(
        codes=tuple(codes),
        photos=tuple(photos),
        pictures=files,
        jobs=jobs,
        open_jobs=open_jobs,
        platforms=tuple(row["platform"] for row in identities),
    )


def erase_lora(db: sqlite3.Connection, code: LoraCode) -> Erased:
    """Delete a Lora and all that anybody drew with it."""
    # Those of its trainings, and those that are being collected for a further one.
    rows = db.execute(
        "DELETE FROM photos WHERE job IN (SELECT id FROM jobs WHERE code = :code AND kind = 'train')"
        " OR (job IS NULL AND account IN (SELECT account FROM photo_sets WHERE code = :code)) RETURNING data",
        {"code": code},
    )
    photos = [hashlib.sha256(row["data"]).hexdigest() for row in rows.fetchall()]
    files, open_jobs, jobs = _erase_loras(db, [code], [])
    return Erased((code,), tuple(photos), files, jobs, open_jobs, ())


def _erase_loras(
    db: sqlite3.Connection, codes: Sequence[LoraCode], further: Iterable[JobId]
) -> tuple[tuple[str, ...], tuple[JobId, ...], tuple[JobId, ...]]:
    """Delete Loras with their jobs, and `further` jobs; gives picture files, open jobs, all jobs."""
    jobs = sorted({*further, *(job for code in codes for job in _jobs_with(db, code))})
    files, open_jobs = set[str](), []
    for job in jobs:
        row = db.execute("SELECT status FROM jobs WHERE id = ?", (job,)).fetchone()
        if row["status"] in ("queued", "running"):
            open_jobs.append(job)
        files.update(row["file"] for row in db.execute("SELECT file FROM pictures WHERE job = ?", (job,)))
        for notice in db.execute("SELECT files FROM notices WHERE job = ?", (job,)):
            files.update(msgspec.json.decode(notice["files"], type=list[str]))
        for table in ("photos", "notices", "pictures", "copies"):
            db.execute(f"DELETE FROM {table} WHERE job = ?", (job,))  # noqa: S608 - our own names
        sharing.ended(db, job, is_done=False)
        db.execute("DELETE FROM jobs WHERE id = ?", (job,))
    for code in codes:
        for table in ("drafts", "shares", "invitations", "photo_sets", "loras"):
            db.execute(f"DELETE FROM {table} WHERE code = ?", (code,))  # noqa: S608 - our own names
        db.execute("DELETE FROM questions WHERE about = ?", (f"rename:{code}",))
        db.execute("INSERT INTO spent_codes VALUES (?)", (code,))
    return tuple(sorted(files)), tuple(open_jobs), tuple(jobs)


def _jobs_with(db: sqlite3.Connection, code: LoraCode) -> list[JobId]:
    """List the jobs a Lora takes part in: as the one that was named first, or inside a prompt."""
    rows = db.execute(
        "SELECT id FROM jobs WHERE code = :code UNION SELECT job FROM further_codes WHERE code = :code",
        {"code": code},
    )
    return [JobId(row["id"]) for row in rows]
