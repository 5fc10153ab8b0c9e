"""The job queue, as statements inside one transaction. Writes of a running attempt are fenced."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.errors import ShareEnded
from bot.core.jobs import (
    MAX_ATTEMPTS,
    FailureReason,
    GenerationParams,
    Job,
    JobFailure,
    JobId,
    JobKind,
    JobStatus,
    TrainingParams,
)
from bot.core.likeness import LikenessReport, PictureSelection
from bot.core.loras import LoraCode
from bot.core.outbox import NoticeKind
from bot.db.sqlite.connection import HOUR_MS, from_ms
from bot.db.statements import shares

# Fair share: of the accounts that wait, the one with the fewest jobs of this kind started within the last
# hour goes first; then whoever has waited longest.
_CLAIM_SQL = """
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
#: The pictures that a generation counts for. A deleted result has lost its prompt, but not their rows.
PICTURE_COUNT_SQL = (
    "max(coalesce(json_extract(wish, '$.count'), 1), (SELECT count(*) FROM pictures WHERE job = jobs.id))"
)
#: Kept are those that a person asked to keep, of a Lora that they can train further.
_DELETE_JOB_PHOTOS_SQL = """
DELETE FROM photos WHERE job = ? AND NOT EXISTS (
    SELECT 1 FROM jobs JOIN accounts ON accounts.id = jobs.account JOIN loras ON loras.code = jobs.code
    WHERE jobs.id = photos.job AND accounts.keeps_photos AND (jobs.status = 'done' OR loras.state = 'ready')
)
"""


def job_from_row(row: sqlite3.Row) -> Job:
    """Read a row of `jobs`."""
    kind = JobKind(row["kind"])
    params: TrainingParams | GenerationParams
    if kind is JobKind.TRAIN:
        params = msgspec.json.decode(row["wish"], type=TrainingParams)
    else:
        params = msgspec.json.decode(row["wish"], type=GenerationParams)
    return Job(
        id=JobId(row["id"]),
        kind=kind,
        status=JobStatus(row["status"]),
        account=AccountId(row["account"]),
        code=LoraCode(row["code"]),
        params=params,
        address=ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"]),
        attempt=row["attempt"],
        lost_attempts=row["losses"],
        step=row["step"],
        steps=row["steps"],
        card_message_id=row["card_message_id"],
        error=decode_failure(row["error"]),
        created_at=from_ms(row["created_ms"]),
        started_at=None if row["started_ms"] is None else from_ms(row["started_ms"]),
        finished_at=None if row["finished_ms"] is None else from_ms(row["finished_ms"]),
        attempt_started_at=None if row["begun_ms"] is None else from_ms(row["begun_ms"]),
        attempt_start_step=row["begun_step"],
        likeness=msgspec.json.decode(row["likeness"], type=LikenessReport)
        if row["likeness"] and kind is JobKind.TRAIN
        else None,
        selection=msgspec.json.decode(row["likeness"], type=PictureSelection)
        if row["likeness"] and kind is JobKind.GENERATE
        else None,
    )


def insert_job(
    connection: sqlite3.Connection,
    *,
    account: AccountId,
    code: LoraCode,
    params: TrainingParams | GenerationParams,
    address: ChatAddress,
    idempotency_key: str,
    now_ms: int,
) -> Job:
    """Queue a job and return it."""
    kind = JobKind.TRAIN if isinstance(params, TrainingParams) else JobKind.GENERATE
    row = connection.execute(
        "INSERT INTO jobs"
        " (kind, status, account, code, wish, platform, chat_id, user_id, created_ms, asked_by)"
        " VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            str(kind),
            account,
            code,
            msgspec.json.encode(params).decode(),
            str(address.platform),
            address.chat_id,
            address.user_id,
            now_ms,
            idempotency_key or None,
        ),
    ).fetchone()
    return job_from_row(row)


def insert_generation(
    connection: sqlite3.Connection,
    *,
    account: AccountId,
    code: LoraCode,
    params: GenerationParams,
    address: ChatAddress,
    idempotency_key: str,
    now_ms: int,
) -> Job:
    """Queue a generation and return it. Raise ShareEnded where the account may not use one of its Loras."""
    if connection.execute("SELECT 1 FROM loras WHERE code = ?", (code,)).fetchone() is None:
        raise ShareEnded(code)  # it was deleted since somebody looked
    job = insert_job(
        connection,
        account=account,
        code=code,
        params=params,
        address=address,
        idempotency_key=idempotency_key,
        now_ms=now_ms,
    )
    shares.consume_shares(connection, job, (code, *params.codes))
    return job


def claim_next(connection: sqlite3.Connection, kind: JobKind, now_ms: int) -> Job | None:
    """Start the next job of a kind and raise its attempt number. Return it, None where none waits."""
    values = {"kind": str(kind), "now": now_ms, "since": now_ms - HOUR_MS}
    row = connection.execute(_CLAIM_SQL, values).fetchone()
    return None if row is None else job_from_row(row)


def is_current_attempt(connection: sqlite3.Connection, job_id: JobId, attempt: int) -> bool:
    """Check whether an attempt is the running one; a write of any other is refused."""
    row = connection.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND attempt = ? AND status = 'running'", (job_id, attempt)
    ).fetchone()
    return row is not None


def is_open(connection: sqlite3.Connection, job_id: JobId) -> bool:
    """Check whether a job is queued or running."""
    row = connection.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND status IN ('queued', 'running')", (job_id,)
    ).fetchone()
    return row is not None


def get_trained_steps(job: Job) -> int | None:
    """Return the total steps of the LoRA that a training hands out, None where they are not known."""
    if job.likeness is not None and job.likeness.chosen is not None:
        return job.likeness.chosen
    start_step = job.params.start_step if isinstance(job.params, TrainingParams) else None
    return job.steps if job.steps is None else (start_step or 0) + job.steps


def decode_failure(error: str | None) -> JobFailure | None:
    """Read `jobs.error`: JSON, or a sentence in rows of earlier versions."""
    if error is None:
        return None
    try:
        return msgspec.json.decode(error, type=JobFailure)
    except msgspec.MsgspecError:
        return JobFailure(sentence=error)


def end_job(
    connection: sqlite3.Connection, job_id: JobId, status: str, failure: JobFailure | None, now_ms: int
) -> Job:
    """Set the final status of a job and return it. Photos of a training are deleted unless they are kept."""
    row = connection.execute(
        "UPDATE jobs SET status = ?, error = ?, finished_ms = ? WHERE id = ? RETURNING *",
        (status, None if failure is None else msgspec.json.encode(failure).decode(), now_ms, job_id),
    ).fetchone()
    connection.execute(_DELETE_JOB_PHOTOS_SQL, (job_id,))
    shares.release_shares(connection, job_id, is_done=status == "done")
    job = job_from_row(row)
    if job.kind is JobKind.TRAIN and status != "done":
        # One that was trained further is as it was.
        connection.execute(
            "UPDATE loras SET state = ? WHERE code = ? AND state = 'training'", (status, job.code)
        )
    return job


def insert_pictures(
    connection: sqlite3.Connection, job_id: JobId, pictures: Sequence[tuple[str, str]]
) -> None:
    """Insert the pictures of a job, each with its file name and its recipe."""
    connection.executemany(
        "INSERT INTO pictures (job, number, file, recipe) VALUES (?, ?, ?, ?)",
        [(job_id, picture_number, *each) for picture_number, each in enumerate(pictures, 1)],
    )


def fail_job(connection: sqlite3.Connection, job_id: JobId, failure: JobFailure, now_ms: int) -> Job:
    """End a job as failed and queue a notice with the reason."""
    job = end_job(connection, job_id, "failed", failure, now_ms)
    insert_notice(
        connection,
        job,
        NoticeKind.TRAIN_FAILED if job.kind is JobKind.TRAIN else NoticeKind.GENERATE_FAILED,
        now_ms,
    )
    return job


def record_lost_attempt(
    connection: sqlite3.Connection, job_id: JobId, attempt: int, now_ms: int
) -> Job | None:
    """Count an attempt that ended without a result: the job is queued again, or fails at the limit."""
    if not is_current_attempt(connection, job_id, attempt):
        return None
    row = connection.execute(
        "UPDATE jobs SET losses = losses + 1, status = 'queued' WHERE id = ? RETURNING *", (job_id,)
    ).fetchone()
    job = job_from_row(row)
    if job.lost_attempts >= MAX_ATTEMPTS:
        return fail_job(connection, job_id, JobFailure(FailureReason.WORKER_CRASHED), now_ms)
    if job.kind is JobKind.TRAIN and not row["resumed_told"]:
        connection.execute("UPDATE jobs SET resumed_told = 1 WHERE id = ?", (job_id,))
        insert_notice(connection, job, NoticeKind.TRAIN_RESUMED, now_ms)
    return job


def insert_notice(
    connection: sqlite3.Connection, job: Job, kind: NoticeKind, now_ms: int, files: Sequence[str] = ()
) -> None:
    """Queue a notice, after those that are queued for its job already."""
    # `+`: by the job's few notices, and not by all that are owed, which are many when a platform is down.
    connection.execute(
        "INSERT INTO notices (job, kind, files, state, next_try_ms, created_ms)"
        " SELECT :job, :kind, :files, 'owed', max(:now, coalesce(max(next_try_ms), 0)), :now"
        " FROM notices WHERE job = :job AND +state = 'owed'",
        {"job": job.id, "kind": str(kind), "files": msgspec.json.encode(list(files)).decode(), "now": now_ms},
    )


def list_open_for_account(connection: sqlite3.Connection, account: AccountId) -> list[Job]:
    """Return the queued and running jobs of an account, the oldest first."""
    rows = connection.execute(
        "SELECT * FROM jobs WHERE account = ? AND status IN ('queued', 'running') ORDER BY id", (account,)
    )
    return [job_from_row(row) for row in rows]
