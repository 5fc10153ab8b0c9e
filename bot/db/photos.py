"""Photos of trainings: those of open ones, and those that are kept."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import FailureReason, Job, JobFailure, JobId
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA, StoredPhoto
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import photo_sets, queue, trainings


class PhotoRepository:
    """Photos by the job of their training."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def continue_training(
        self,
        account: AccountId,
        code: LoraCode,
        address: ChatAddress,
        steps: int,
        idempotency_key: str = "",
    ) -> Job | None:
        """Queue a continued training on the kept photos. Return None where there are not five."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            if len(trainings.list_kept_ids(connection, code)) != PHOTOS_PER_LORA:
                return None
            job = trainings.continue_training(
                connection,
                account,
                code,
                address=address,
                steps=steps,
                idempotency_key=idempotency_key,
                now_ms=now_ms,
            )
            if job is not None:
                connection.execute(
                    f"UPDATE photos SET job = :job WHERE job IN {trainings.KEPT_PHOTO_JOBS_SQL}",  # noqa: S608 - our own words
                    {"job": job.id, "code": code},
                )
            return job

        return await self._connection.write(transaction)

    async def has_kept_photos(self, code: LoraCode) -> bool:
        """Check whether photos of a Lora's ended trainings are kept."""
        sql = f"SELECT 1 FROM photos WHERE job IN {trainings.KEPT_PHOTO_JOBS_SQL} LIMIT 1"  # noqa: S608 - our own words
        rows = await self._connection.read(
            lambda connection: connection.execute(sql, {"code": code}).fetchall()
        )
        return bool(rows)

    async def get_job_photos(self, job_id: JobId) -> tuple[StoredPhoto, ...]:
        """Return the photos of a training, in their order."""
        rows = await self._connection.fetch_rows(
            "SELECT data_sha256, data FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(StoredPhoto(row["data_sha256"], row["data"]) for row in rows)

    async def get_job_hints(self, job_id: JobId) -> tuple[str, ...]:
        """Return the coach's hint on each photo of a training, in their order."""
        rows = await self._connection.fetch_rows(
            "SELECT hint FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(row["hint"] for row in rows)

    async def list_job_hashes(self, job_id: JobId) -> list[str]:
        """Return the SHA-256 of each photo's stored bytes of a training, in their order."""
        return await self._connection.read(lambda connection: photo_sets.list_job_hashes(connection, job_id))

    async def delete_photos_before(self, before: datetime) -> list[str]:
        """Delete photos older than a time, and those of the same training, which fails if it is open.

        Return the SHA-256 of each photo's stored bytes.
        """
        limit_ms, now_ms = to_ms(before), self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> list[str]:
            deleted_hashes: list[str] = []
            jobs = connection.execute(
                "SELECT DISTINCT job FROM photos WHERE created_ms < ? AND job IS NOT NULL", (limit_ms,)
            ).fetchall()
            for row in jobs:  # four of five are of no use
                deleted_hashes += photo_sets.list_job_hashes(connection, JobId(row["job"]))
                if queue.is_open(connection, JobId(row["job"])):
                    failure = JobFailure(FailureReason.PHOTOS_EXPIRED)
                    queue.fail_job(connection, JobId(row["job"]), failure, now_ms)
                connection.execute("DELETE FROM photos WHERE job = ?", (row["job"],))
            rows = connection.execute(
                "DELETE FROM photos WHERE created_ms < ? RETURNING data_sha256", (limit_ms,)
            ).fetchall()
            return deleted_hashes + [row["data_sha256"] for row in rows]

        return await self._connection.write(transaction)
