"""Jobs: what waits, what runs, and what became of each attempt."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import GenerationParams, Job, JobFailure, JobId, JobKind, QueueState
from bot.core.likeness import LikenessReport, PictureSelection
from bot.core.loras import LoraCode
from bot.core.outbox import NoticeKind
from bot.db.sqlite.connection import Connection
from bot.db.statements import queue, queue_state


class JobRepository:
    """Jobs by their id. A fenced write returns False where its attempt is no longer the running one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, job_id: JobId) -> Job | None:
        """Return a job, None where there is none."""
        jobs = await self._fetch_jobs("SELECT * FROM jobs WHERE id = ?", job_id)
        return jobs[0] if jobs else None

    async def list_open_for_account(self, account: AccountId) -> list[Job]:
        """Return the queued and running jobs of an account, the oldest first."""
        return await self._connection.read(
            lambda connection: queue.list_open_for_account(connection, account)
        )

    async def get_last_training(self, code: LoraCode) -> Job | None:
        """Return the last training of a LoraCode, None where there is none."""
        jobs = await self._fetch_jobs(
            "SELECT * FROM jobs WHERE code = ? AND kind = 'train' ORDER BY id DESC LIMIT 1", code
        )
        return jobs[0] if jobs else None

    async def list_queued_ids(self) -> list[JobId]:
        """Return the ids of all queued jobs."""
        rows = await self._connection.fetch_rows(
            "SELECT id FROM jobs WHERE kind IN ('train', 'generate') AND status = 'queued'"
        )
        return [JobId(row["id"]) for row in rows]

    async def list_running(self) -> list[Job]:
        """Return all running jobs, the oldest first."""
        return await self._fetch_jobs(
            "SELECT * FROM jobs WHERE kind IN ('train', 'generate') AND status = 'running' ORDER BY id"
        )

    async def list_open_in_chat(self, address: ChatAddress, limit: int) -> list[Job]:
        """Return up to `limit` queued and running jobs of a chat and its topics, the oldest first."""
        return await self._fetch_jobs(
            "SELECT * FROM jobs WHERE platform = ? AND (chat_id = ? OR substr(chat_id, 1, ?) = ?)"
            " AND status IN ('queued', 'running') ORDER BY id LIMIT ?",
            *(
                str(address.platform),
                address.base_chat_id,
                len(address.base_chat_id) + 1,
                f"{address.base_chat_id}:",
                limit,
            ),
        )

    async def find_by_idempotency_key(self, idempotency_key: str) -> Job | None:
        """Return the job that an earlier try of a request queued, None where there is none."""
        sql = "SELECT * FROM jobs WHERE asked_by = ? ORDER BY id LIMIT 1"
        jobs = await self._fetch_jobs(sql, idempotency_key)
        return jobs[0] if jobs else None

    async def read_queue_state(self, job_id: JobId) -> QueueState:
        """Return the queue around a job: all that an estimate of its end needs, in one read."""
        return await self._connection.read(lambda connection: queue_state.read_state(connection, job_id))

    async def add_generation(
        self,
        account: AccountId,
        code: LoraCode,
        params: GenerationParams,
        address: ChatAddress,
        idempotency_key: str = "",
    ) -> Job:
        """Queue a generation. Raise ShareEnded where the account may not use one of its Loras."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: queue.insert_generation(
                connection,
                account=account,
                code=code,
                params=params,
                address=address,
                idempotency_key=idempotency_key,
                now_ms=now_ms,
            )
        )

    async def cancel(self, job_id: JobId) -> Job | None:
        """Cancel a job and return it, None where it had already ended."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND status IN ('queued', 'running')", (job_id,)
            ).fetchone()
            return None if row is None else queue.end_job(connection, job_id, "cancelled", None, now_ms)

        return await self._connection.write(transaction)

    async def claim_next(self, kind: JobKind) -> Job | None:
        """Start the next job of a kind, None where none waits: fair share between accounts, then age.

        Its attempt number is raised, so that writes of earlier attempts are refused.
        """
        now_ms = self._connection.now_ms()
        return await self._connection.write(lambda connection: queue.claim_next(connection, kind, now_ms))

    async def requeue_running(self) -> int:
        """Queue the running jobs again after a restart of the bot. Return how many.

        No lost attempt is counted.
        """
        return await self._connection.write(
            lambda connection: (
                connection.execute(
                    "UPDATE jobs SET status = 'queued'"
                    " WHERE kind IN ('train', 'generate') AND status = 'running'"
                ).rowcount
            )
        )

    async def record_start(
        self, job_id: JobId, attempt: int, step: int, steps: int, family: str = ""
    ) -> bool:
        """Record at which step the worker started an attempt, and the family of a training. Fenced."""
        sql = "UPDATE jobs SET begun_ms = ?, begun_step = ?, step = ?, steps = ? WHERE id = ?"
        values = (self._connection.now_ms(), step, step, steps, job_id)

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(sql, values)
            connection.execute(
                "UPDATE loras SET family = ? WHERE ? != '' AND code ="
                " (SELECT code FROM jobs WHERE id = ? AND kind = 'train')",
                (family, family, job_id),
            )

        return await self._write_if_current(job_id, attempt, transaction)

    async def record_progress(self, job_id: JobId, attempt: int, step: int, steps: int | None = None) -> bool:
        """Record the progress of a job; with `steps=None` their number stays. Fenced."""
        sql = "UPDATE jobs SET step = ?, steps = coalesce(?, steps) WHERE id = ?"
        return await self._write_if_current(
            job_id, attempt, lambda connection: connection.execute(sql, (step, steps, job_id))
        )

    async def record_checkpoint(self, job_id: JobId, attempt: int, step: int) -> bool:
        """Record a checkpoint, and reset the count of lost attempts. Fenced."""
        return await self._write_if_current(
            job_id,
            attempt,
            lambda connection: connection.execute(
                "UPDATE jobs SET step = ?, losses = 0 WHERE id = ?", (step, job_id)
            ),
        )

    async def is_current_attempt(self, job_id: JobId, attempt: int) -> bool:
        """Check whether an attempt is the running one."""
        return await self._connection.read(
            lambda connection: queue.is_current_attempt(connection, job_id, attempt)
        )

    async def save_likeness(self, job_id: JobId, attempt: int, report: LikenessReport) -> bool:
        """Save the likeness report of a running training. Fenced."""

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE jobs SET likeness = ? WHERE id = ?",
                (msgspec.json.encode(report).decode(), job_id),
            )

        return await self._write_if_current(job_id, attempt, transaction)

    async def finish_training(
        self, job_id: JobId, attempt: int, file: tuple[str, str] | None, pictures: Sequence[str] = ()
    ) -> bool:
        """End a training as done: its Lora is ready, its photos are deleted, a notice is queued. Fenced.

        Without a file a Lora that was trained further keeps its own: nothing that was learnt is better. The
        first picture is shown, the others are those that the Lora was chosen by.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            job = queue.end_job(connection, job_id, "done", None, now_ms)
            if file is not None:
                connection.execute(
                    "UPDATE loras SET file = ?, sha256 = ?, steps = ? WHERE code = ?",
                    (*file, queue.get_trained_steps(job), job.code),
                )
            connection.execute(
                "UPDATE loras SET state = 'ready', ready_ms = ?,"
                " likeness = (SELECT likeness FROM jobs WHERE id = ?) WHERE code = ?",
                (now_ms, job_id, job.code),
            )
            queue.insert_pictures(connection, job_id, [(name, "") for name in pictures])
            queue.insert_notice(connection, job, NoticeKind.TRAIN_DONE, now_ms, pictures[:1])

        return await self._write_if_current(job_id, attempt, transaction)

    async def finish_generation(
        self,
        job_id: JobId,
        attempt: int,
        files: Sequence[str],
        recipes: Sequence[str] = (),
        selection: tuple[PictureSelection, GenerationParams] | None = None,
    ) -> bool:
        """End a generation as done: its pictures are recorded, a notice with them is queued. Fenced.

        `selection` says why this picture of several was chosen, and has the parameters that make it.
        """
        now_ms = self._connection.now_ms()
        recipes = [*recipes, *[""] * (len(files) - len(recipes))]

        def transaction(connection: sqlite3.Connection) -> None:
            if selection is not None:
                selection_json, params_json = (msgspec.json.encode(each).decode() for each in selection)
                connection.execute(
                    "UPDATE jobs SET likeness = ?, wish = ? WHERE id = ?",
                    (selection_json, params_json, job_id),
                )
            job = queue.end_job(connection, job_id, "done", None, now_ms)
            queue.insert_pictures(connection, job_id, list(zip(files, recipes, strict=True)))
            queue.insert_notice(connection, job, NoticeKind.GENERATE_DONE, now_ms, files)

        return await self._write_if_current(job_id, attempt, transaction)

    async def fail(self, job_id: JobId, attempt: int, failure: JobFailure) -> bool:
        """End a job as failed: its photos are deleted, a notice is queued. Fenced."""
        now_ms = self._connection.now_ms()
        return await self._write_if_current(
            job_id, attempt, lambda connection: queue.fail_job(connection, job_id, failure, now_ms)
        )

    async def record_lost_attempt(self, job_id: JobId, attempt: int) -> Job | None:
        """Count an attempt that ended without a result: the job is queued again, or fails at the limit.

        Return the job, None where the attempt is not the running one.
        """
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: queue.record_lost_attempt(connection, job_id, attempt, now_ms)
        )

    async def _fetch_jobs(self, sql: str, *values: object) -> list[Job]:
        return [queue.job_from_row(row) for row in await self._connection.fetch_rows(sql, *values)]

    async def _write_if_current(
        self, job_id: JobId, attempt: int, body: Callable[[sqlite3.Connection], object]
    ) -> bool:
        def transaction(connection: sqlite3.Connection) -> bool:
            is_current = queue.is_current_attempt(connection, job_id, attempt)
            if is_current:
                body(connection)
            return is_current

        return await self._connection.write(transaction)
