"""Attempts at jobs, from their claim to their end: the ledger's part about work that is being done."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from bot.core.jobs import Job, JobId, JobKind
from bot.core.likeness import LikenessReport
from bot.core.outbox import NoticeKind
from bot.db import jobs
from bot.db.updates import Updates


class Attempts(Updates):
    """What became of each attempt; what is fenced gives False when it is no longer the running one."""

    async def claim(self, kind: JobKind) -> Job | None:
        """Take the next job of a kind: fair share between accounts, then age. Raises its fence."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: jobs.claim(db, kind, now))

    async def release_running(self) -> int:
        """Put running jobs back in line after a restart of the bot; that is no loss of theirs."""
        return await self._db.write(
            lambda db: (
                db.execute(
                    "UPDATE jobs SET status = 'queued'"
                    " WHERE kind IN ('train', 'generate') AND status = 'running'"
                ).rowcount
            )
        )

    async def begun(self, job_id: JobId, attempt: int, step: int, steps: int) -> bool:
        """Note where the worker began an attempt."""
        sql = "UPDATE jobs SET begun_ms = ?, begun_step = ?, step = ?, steps = ? WHERE id = ?"
        values = (self._db.now_ms(), step, step, steps, job_id)
        return await self._fenced(job_id, attempt, lambda db: db.execute(sql, values))

    async def progressed(self, job_id: JobId, attempt: int, step: int, steps: int | None = None) -> bool:
        """Note how far a job is; `steps=None`: of as many as before."""
        sql = "UPDATE jobs SET step = ?, steps = coalesce(?, steps) WHERE id = ?"
        return await self._fenced(job_id, attempt, lambda db: db.execute(sql, (step, steps, job_id)))

    async def checkpointed(self, job_id: JobId, attempt: int, step: int) -> bool:
        """Note that a job can go on from here; earlier losses no longer count against it."""
        return await self._fenced(
            job_id,
            attempt,
            lambda db: db.execute("UPDATE jobs SET step = ?, losses = 0 WHERE id = ?", (step, job_id)),
        )

    async def is_current(self, job_id: JobId, attempt: int) -> bool:
        """Say whether an attempt is the running one."""
        return await self._db.read(lambda db: jobs.is_current(db, job_id, attempt))

    async def finish_training(
        self, job_id: JobId, attempt: int, file: tuple[str, str] | None, pictures: Sequence[str] = ()
    ) -> bool:
        """Job done, Lora ready with its file's name and SHA-256, photos deleted, notice owed.

        Without a file a Lora that was trained further keeps its own: nothing that was learnt is better. The
        first picture is shown, the others are those that the Lora was chosen by.
        """
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> None:
            job = jobs.end(db, job_id, "done", None, now)
            if file is not None:
                db.execute(
                    "UPDATE loras SET file = ?, sha256 = ?, steps = ? WHERE code = ?",
                    (*file, jobs.steps_learnt(job), job.code),
                )
            db.execute(
                "UPDATE loras SET state = 'ready', ready_ms = ?,"
                " likeness = (SELECT likeness FROM jobs WHERE id = ?) WHERE code = ?",
                (now, job_id, job.code),
            )
            jobs.keep_pictures(db, job_id, [(name, "") for name in pictures])
            jobs.owe(db, job, NoticeKind.TRAIN_DONE, now, pictures[:1])

        return await self._fenced(job_id, attempt, work)

    async def judged(self, job_id: JobId, attempt: int, report: LikenessReport) -> bool:
        """Keep what is known of a training's likeness so far. Fenced."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE jobs SET likeness = ? WHERE id = ?",
                (msgspec.json.encode(report).decode(), job_id),
            )

        return await self._fenced(job_id, attempt, work)

    async def fail(self, job_id: JobId, attempt: int, sentence: str) -> bool:
        """Job and Lora failed, photos deleted, notice owed."""
        now = self._db.now_ms()
        return await self._fenced(job_id, attempt, lambda db: jobs.fail(db, job_id, sentence, now))

    async def lost(self, job_id: JobId, attempt: int) -> Job | None:
        """Count an attempt without a result; the job waits again, or fails at its last. None when stale."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: jobs.lost(db, job_id, attempt, now))
