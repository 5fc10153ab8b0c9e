"""What happens to jobs, as statements inside one transaction. Writes of a running attempt are fenced."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from bot.core.jobs import MAX_ATTEMPTS, Job, JobId, JobKind, TrainWish
from bot.core.outbox import NoticeKind
from bot.db import sharing
from bot.db.rows import job_of

HOUR_MS = 3_600_000
WORKER_KEEPS_DYING = (
    "The graphics card process stopped five times while working on this, so I gave up. "
    "Please try again later, or tell the person who runs this bot."
)

# Fair share: of the accounts that wait, the one with the fewest jobs of this kind started within the last
# hour goes first; then whoever has waited longest.
_CLAIM = """
UPDATE jobs SET status = 'running', attempt = attempt + 1, started_ms = :now, begun_ms = NULL
WHERE id = (
    SELECT waiting.id FROM jobs AS waiting
    WHERE waiting.kind = :kind AND waiting.status = 'queued'
    ORDER BY (
        SELECT count(*) FROM jobs AS served
        WHERE served.kind = :kind AND served.account = waiting.account AND served.started_ms > :since
    ), waiting.created_ms, waiting.id
    LIMIT 1
) AND NOT EXISTS (SELECT 1 FROM switches WHERE name = 'paused')
RETURNING *
"""

#: Kept are those that a person asked to keep, of a Lora that they can train further.
_PHOTOS_OF_AN_ENDED_JOB = """
DELETE FROM photos WHERE job = ? AND NOT EXISTS (
    SELECT 1 FROM jobs JOIN accounts ON accounts.id = jobs.account JOIN loras ON loras.code = jobs.code
    WHERE jobs.id = photos.job AND accounts.keeps_photos AND (jobs.status = 'done' OR loras.state = 'ready')
)
"""


def claim(db: sqlite3.Connection, kind: JobKind, now_ms: int) -> Job | None:
    """Take the next job of a kind and raise its fence."""
    asked = {"kind": str(kind), "now": now_ms, "since": now_ms - HOUR_MS}
    row = db.execute(_CLAIM, asked).fetchone()
    return None if row is None else job_of(row)


def is_current(db: sqlite3.Connection, job_id: JobId, attempt: int) -> bool:
    """Say whether this attempt is the running one; a write of any other is refused."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND attempt = ? AND status = 'running'", (job_id, attempt)
    ).fetchone()
    return row is not None


def is_open(db: sqlite3.Connection, job_id: JobId) -> bool:
    """Say whether a job waits or runs."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND status IN ('queued', 'running')", (job_id,)
    ).fetchone()
    return row is not None


def steps_learnt(job: Job) -> int | None:
    """Give the steps that the LoRA which a training hands out has learnt for, in all."""
    if job.likeness is not None and job.likeness.chosen is not None:
        return job.likeness.chosen
    before = job.wish.start_step if isinstance(job.wish, TrainWish) else None
    return job.steps if job.steps is None else (before or 0) + job.steps


def end(db: sqlite3.Connection, job_id: JobId, status: str, error: str | None, now_ms: int) -> Job:
    """Write a terminal status; the photos of a training go with it, unless their person keeps them."""
    row = db.execute(
        "UPDATE jobs SET status = ?, error = ?, finished_ms = ? WHERE id = ? RETURNING *",
        (status, error, now_ms, job_id),
    ).fetchone()
    db.execute(_PHOTOS_OF_AN_ENDED_JOB, (job_id,))
    sharing.ended(db, job_id, is_done=status == "done")
    job = job_of(row)
    if job.kind is JobKind.TRAIN and status != "done":
        # One that was trained further is as it was.
        db.execute("UPDATE loras SET state = ? WHERE code = ? AND state = 'training'", (status, job.code))
    return job


def keep_pictures(db: sqlite3.Connection, job_id: JobId, pictures: Sequence[tuple[str, str]]) -> None:
    """Name the pictures of a job, each by its file and its recipe."""
    db.executemany(
        "INSERT INTO pictures (job, number, file, recipe) VALUES (?, ?, ?, ?)",
        [(job_id, number, *each) for number, each in enumerate(pictures, 1)],
    )


def fail(db: sqlite3.Connection, job_id: JobId, sentence: str, now_ms: int) -> Job:
    """End a job as failed and owe its person the sentence."""
    job = end(db, job_id, "failed", sentence, now_ms)
    owe(db, job, NoticeKind.TRAIN_FAILED if job.kind is JobKind.TRAIN else NoticeKind.GENERATE_FAILED, now_ms)
    return job


def lost(db: sqlite3.Connection, job_id: JobId, attempt: int, now_ms: int) -> Job | None:
    """Count an attempt that ended without a result: the job waits again, or has had its last chance."""
    if not is_current(db, job_id, attempt):
        return None
    row = db.execute(
        "UPDATE jobs SET losses = losses + 1, status = 'queued' WHERE id = ? RETURNING *", (job_id,)
    ).fetchone()
    job = job_of(row)
    if job.losses >= MAX_ATTEMPTS:
        return fail(db, job_id, WORKER_KEEPS_DYING, now_ms)
    if job.kind is JobKind.TRAIN and not row["resumed_told"]:
        db.execute("UPDATE jobs SET resumed_told = 1 WHERE id = ?", (job_id,))
        owe(db, job, NoticeKind.TRAIN_RESUMED, now_ms)
    return job


def owe(db: sqlite3.Connection, job: Job, kind: NoticeKind, now_ms: int, files: Sequence[str] = ()) -> None:
    """Owe the person of a job a message, after what they are owed of it already."""
    # `+`: by the job's few notices, and not by all that are owed, which are many when a platform is down.
    db.execute(
        "INSERT INTO notices (job, kind, files, state, next_try_ms, created_ms)"
        " SELECT :job, :kind, :files, 'owed', max(:now, coalesce(max(next_try_ms), 0)), :now"
        " FROM notices WHERE job = :job AND +state = 'owed'",
        {"job": job.id, "kind": str(kind), "files": msgspec.json.encode(list(files)).decode(), "now": now_ms},
    )


_RUNNING = "SELECT * FROM jobs WHERE kind = ? AND status = 'running' ORDER BY id"
#: Jobs that wait, and are alike as far as anybody can tell how long they take: one of them, and how many.
_ALIKE = """
SELECT min(id) AS id, count(*) AS n FROM jobs WHERE kind = ? AND status = 'queued'
    AND (created_ms, id) < (?, ?) GROUP BY step, steps, json_extract(wish, '$.steps')
"""
_LAST = (2**62, 0)


def ahead(db: sqlite3.Connection, job_id: JobId) -> list[Job]:
    """List the jobs that a queued job waits for: the running ones of its kind, then the older ones.

    Of those that wait and are alike, one stands for all of them.
    """
    row = db.execute("SELECT kind, status, created_ms FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or row["status"] != "queued":
        return []
    return _in_line(db, row["kind"], (row["created_ms"], job_id))


def open_jobs(db: sqlite3.Connection, kind: JobKind) -> list[Job]:
    """List what runs and waits of a kind; likewise."""
    return _in_line(db, str(kind), _LAST)


def count_ahead(db: sqlite3.Connection, job_id: JobId) -> int:
    """Count the jobs that a queued job waits for."""
    row = db.execute("SELECT kind, status, created_ms FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None or row["status"] != "queued":
        return 0
    count = (
        "SELECT (SELECT count(*) FROM jobs WHERE kind = :kind AND status = 'running') + (SELECT count(*) FROM"
        " jobs WHERE kind = :kind AND status = 'queued' AND (created_ms, id) < (:created_ms, :id))"
    )
    asked = {"kind": row["kind"], "created_ms": row["created_ms"], "id": job_id}
    return int(db.execute(count, asked).fetchone()[0])


def _in_line(db: sqlite3.Connection, kind: str, before: tuple[int, int]) -> list[Job]:
    running = [job_of(row) for row in db.execute(_RUNNING, (kind,))]
    waiting: list[Job] = []
    for alike in db.execute(_ALIKE, (kind, *before)).fetchall():
        row = db.execute("SELECT * FROM jobs WHERE id = ?", (alike["id"],)).fetchone()
        waiting += [job_of(row)] * alike["n"]
    return running + waiting
