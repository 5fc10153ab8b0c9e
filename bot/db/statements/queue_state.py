"""The queue around a job: how many wait before it, and how long such jobs take."""

from __future__ import annotations

import sqlite3
from statistics import median

from bot.core.jobs import NO_THROUGHPUT, PAUSED_SWITCH, Job, JobId, JobKind, QueueState, Throughput
from bot.db.statements import queue

_RUNNING_SQL = "SELECT * FROM jobs WHERE kind = ? AND status = 'running' ORDER BY id"
#: Jobs that wait, and are alike as far as anybody can tell how long they take: one of them, and how many.
_SIMILAR_QUEUED_SQL = """
SELECT min(id) AS id, count(*) AS n FROM jobs WHERE kind = ? AND status = 'queued'
    AND (created_ms, id) < (?, ?) GROUP BY step, steps, json_extract(wish, '$.steps')
"""
_END_OF_QUEUE = (2**62, 0)
#: Jobs whose times an estimate goes by.
MAX_RECENT_JOBS = 20
# Those during which the clock was set back are left out; one that ended early took fewer steps.
_RECENT_SQL = """
SELECT started_ms, finished_ms, iif(json_extract(likeness, '$.saved_s') IS NULL, steps, step) AS steps
FROM jobs WHERE kind = ? AND status = 'done' AND attempt = 1 AND started_ms <= finished_ms
ORDER BY finished_ms DESC LIMIT ?
"""


def read_state(connection: sqlite3.Connection, job_id: JobId) -> QueueState:
    """Return the queue around a job. One that is not queued, or not known, has nobody ahead."""
    row = connection.execute("SELECT kind, status, created_ms FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        return QueueState(position=1)
    kind = JobKind(row["kind"])
    is_queued, is_train = row["status"] == "queued", kind is JobKind.TRAIN
    own_place = (row["created_ms"], job_id)
    return QueueState(
        position=1 + (_count_ahead(connection, kind, own_place) if is_queued else 0),
        is_paused=is_paused(connection),
        ahead=tuple(_list_queue(connection, kind, own_place)) if is_queued else (),
        open_generations=tuple(_list_queue(connection, JobKind.GENERATE, _END_OF_QUEUE)) if is_train else (),
        throughput=get_throughput(connection, kind),
        generation_throughput=get_throughput(connection, JobKind.GENERATE) if is_train else NO_THROUGHPUT,
    )


def is_paused(connection: sqlite3.Connection) -> bool:
    """Check whether an administrator lets no job begin."""
    sql = "SELECT 1 FROM switches WHERE name = ?"
    return connection.execute(sql, (PAUSED_SWITCH,)).fetchone() is not None


def get_throughput(connection: sqlite3.Connection, kind: JobKind) -> Throughput:
    """Return the median times of the last jobs of a kind, of those that were done in one attempt."""
    rows = connection.execute(_RECENT_SQL, (str(kind), MAX_RECENT_JOBS)).fetchall()
    job_times_s = [(row["finished_ms"] - row["started_ms"]) / 1000 for row in rows]
    step_times_s = [
        job_s / row["steps"] for row, job_s in zip(rows, job_times_s, strict=True) if row["steps"]
    ]
    return Throughput(
        step_s=median(step_times_s) if step_times_s else None,
        job_s=median(job_times_s) if job_times_s else None,
    )


def _count_ahead(connection: sqlite3.Connection, kind: JobKind, before: tuple[int, int]) -> int:
    sql = (
        "SELECT (SELECT count(*) FROM jobs WHERE kind = :kind AND status = 'running') + (SELECT count(*) FROM"
        " jobs WHERE kind = :kind AND status = 'queued' AND (created_ms, id) < (:created_ms, :id))"
    )
    values = {"kind": str(kind), "created_ms": before[0], "id": before[1]}
    return int(connection.execute(sql, values).fetchone()[0])


def _list_queue(connection: sqlite3.Connection, kind: JobKind, before: tuple[int, int]) -> list[Job]:
    running = [queue.job_from_row(row) for row in connection.execute(_RUNNING_SQL, (str(kind),))]
    queued: list[Job] = []
    for group in connection.execute(_SIMILAR_QUEUED_SQL, (str(kind), *before)).fetchall():
        row = connection.execute("SELECT * FROM jobs WHERE id = ?", (group["id"],)).fetchone()
        queued += [queue.job_from_row(row)] * group["n"]
    return running + queued
