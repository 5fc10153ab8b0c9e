"""Attempts at jobs, from their claim to their end: the ledger's part about work that is being done."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from bot.core.jobs import Job, JobId, JobKind
from bot.core.likeness import LikenessReport
from bot.core.outbox import NoticeKind
from bot.db import jobs
from bot.db.updates import UpdateRepository


class JobRepository(UpdateRepository):
    """What became of each attempt; what is fenced gives False when it is no longer the running one."""

    async def claim_next(self, kind: JobKind) -> Job | None:
        """Take the next job of a kind: fair share between accounts, then age. Raises its fence."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(lambda connection: jobs.claim_next(connection, kind, now_ms))

    async def requeue_running(self) -> int:
        """Put running jobs back in line after a restart of the bot; that is no loss of theirs."""
        return await self._connection.write(
            lambda connection: (
                connection.execute(
                    "UPDATE jobs SET status = 'queued'"
                    " WHERE kind IN ('train', 'generate') AND status = 'running'"
                ).rowcount
            )
        )

    async def record_start(self, job_id: JobId, attempt: int, step: int, steps: int) -> bool:
        """Note where the worker began an attempt."""
        sql = "UPDATE jobs SET begun_ms = ?, begun_step = ?, step = ?, steps = ? WHERE id = ?"
        values = (self._connection.now_ms(), step, step, steps, job_id)
        return await self._write_if_current(
            job_id, attempt, lambda connection: connection.execute(sql, values)
        )

    async def record_progress(self, job_id: JobId, attempt: int, step: int, steps: int | None = None) -> bool:
        """Note how far a job is; `steps=None`: of as many as before."""
        sql = "UPDATE jobs SET step = ?, steps = coalesce(?, steps) WHERE id = ?"
        return await self._write_if_current(
            job_id, attempt, lambda connection: connection.execute(sql, (step, steps, job_id))
        )

    async def record_checkpoint(self, job_id: JobId, attempt: int, step: int) -> bool:
        """Note that a job can go on from here; earlier losses no longer count against it."""
        return await self._write_if_current(
            job_id,
            attempt,
            lambda connection: connection.execute(
                "UPDATE jobs SET step = ?, losses = 0 WHERE id = ?", (step, job_id)
            ),
        )

    async def is_current_attempt(self, job_id: JobId, attempt: int) -> bool:
        """Say whether an attempt is the running one."""
        return await self._connection.read(
            lambda connection: jobs.is_current_attempt(connection, job_id, attempt)
        )

    async def finish_training(
        self, job_id: JobId, attempt: int, file: tuple[str, str] | None, pictures: Sequence[str] = ()
    ) -> bool:
        """Job done, Lora ready with its file's name and SHA-256, photos deleted, notice owed.

        Without a file a Lora that was trained further keeps its own: nothing that was learnt is better. The
        first picture is shown, the others are those that the Lora was chosen by.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            job = jobs.end_job(connection, job_id, "done", None, now_ms)
            if file is not None:
                connection.execute(
                    "UPDATE loras SET file = ?, sha256 = ?, steps = ? WHERE code = ?",
                    (*file, jobs.get_trained_steps(job), job.code),
                )
            connection.execute(
                "UPDATE loras SET state = 'ready', ready_ms = ?,"
                " likeness = (SELECT likeness FROM jobs WHERE id = ?) WHERE code = ?",
                (now_ms, job_id, job.code),
            )
            jobs.insert_pictures(connection, job_id, [(name, "") for name in pictures])
            jobs.insert_notice(connection, job, NoticeKind.TRAIN_DONE, now_ms, pictures[:1])

        return await self._write_if_current(job_id, attempt, transaction)

    async def save_likeness(self, job_id: JobId, attempt: int, report: LikenessReport) -> bool:
        """Keep what is known of a training's likeness so far. Fenced."""

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET likeness = ? WHERE id = ?",
                (msgspec.json.encode(report).decode(), job_id),
            )

        return await self._write_if_current(job_id, attempt, transaction)

    async def fail(self, job_id: JobId, attempt: int, message: str) -> bool:
        """Job and Lora failed, photos deleted, notice owed."""
        now_ms = self._connection.now_ms()
        return await self._write_if_current(
            job_id, attempt, lambda connection: jobs.fail_job(connection, job_id, message, now_ms)
        )

    async def record_lost_attempt(self, job_id: JobId, attempt: int) -> Job | None:
        """Count an attempt without a result; the job waits again, or fails at its last. None when stale."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: jobs.record_lost_attempt(connection, job_id, attempt, now_ms)
        )
