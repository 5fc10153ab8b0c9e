"""The ledger: every SQL statement of LoraCode, behind one door. What is not in here did not happen."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from bot.core.accounts import AccountId, ChatAddress, Identity
from bot.core.jobs import Job, JobId, JobKind, JobStatus, TrainingParams
from bot.core.loras import Lora, LoraCode, LoraState
from bot.core.photos import NewPhoto
from bot.db import jobs as db_jobs
from bot.db import photos as db_photos
from bot.db.accounts import StoredData
from bot.db.connection import Connection
from bot.db.notices import OutboxRepository
from bot.db.rows import AddPhotosResult, ErasureResult, ReferencedFiles, TableCounts, lora_from_row, to_ms
from bot.db.sharing import (
    MAX_FORWARDED_PER_DAY,
    MAX_PENDING_REQUESTS,
    MAX_PEOPLE_PER_LINK,
    MAX_REQUESTS_PER_DAY,
)
from bot.db.snapshot import (
    StatusSnapshot,
    check_integrity,
    copy_database,
    hold_exclusively,
    list_referenced_files,
    read_status_snapshot,
)

__all__ = [
    "MAX_FORWARDED_PER_DAY",
    "MAX_PENDING_REQUESTS",
    "MAX_PEOPLE_PER_LINK",
    "MAX_REQUESTS_PER_DAY",
    "AddPhotosResult",
    "Database",
    "ErasureResult",
    "ReferencedFiles",
    "StatusSnapshot",
    "StoredData",
    "TableCounts",
    "check_integrity",
    "copy_database",
    "hold_exclusively",
    "list_referenced_files",
    "read_status_snapshot",
]

_PHOTOS_EXPIRED_MESSAGE = (
    "The photos of this training are seven days old, and I do not keep photos longer. "
    "Please send the five photos again."
)


class Database(OutboxRepository):
    """One door to one SQLite file; each method that writes is one transaction."""

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime]) -> Database:
        """Open or create the ledger; LedgerError in one readable line when that cannot be."""
        return cls(await Connection.open(path, clock))

    async def close(self) -> None:
        """Close the ledger."""
        await self._connection.close()

    # --- people and photos -------------------------------------------------------------------------------

    async def get_or_create(self, identity: Identity) -> AccountId:
        """Get or create the account of an identity."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: db_photos.get_or_create_account(connection, identity, now_ms)
        )

    async def count_collected(self, account: AccountId) -> int:
        """Count the photos of the set that is being collected."""
        return await self._connection.read(lambda connection: db_photos.count_collected(connection, account))

    async def add_photos(
        self,
        account: AccountId,
        photos: Sequence[NewPhoto],
        address: ChatAddress,
        params: TrainingParams | None,
    ) -> AddPhotosResult:
        """Put photos into the set; when exactly five are held then, its training is queued with them.

        Without a wish they are kept and nothing begins.
        """
        now_ms = self._connection.now_ms()
        request = None if params is None else (address, params)
        return await self._connection.write(
            lambda connection: db_photos.add_photos_to_set(connection, account, photos, request, now_ms)
        )

    async def start_training(
        self, account: AccountId, address: ChatAddress, params: TrainingParams
    ) -> Job | None:
        """Queue a training of the first five photos of the set and drop the rest; None if there are fewer."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: db_photos.start_training(connection, account, (address, params), now_ms)
        )

    async def delete_set(self, account: AccountId) -> list[str]:
        """Delete the set that is being collected; gives the SHA-256 of each photo's bytes."""
        return await self._connection.write(lambda connection: db_photos.delete_set(connection, account))

    async def get_job_photos(self, job_id: JobId) -> tuple[bytes, ...]:
        """Give the photos of a training, in the order they came."""
        rows = await self._fetch_rows(
            "SELECT data FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(row["data"] for row in rows)

    async def get_job_hints(self, job_id: JobId) -> tuple[str, ...]:
        """Give what the coach saw on each photo of a training, in the order they came."""
        rows = await self._fetch_rows(
            "SELECT hint FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(row["hint"] for row in rows)

    async def list_set_hashes(self, account: AccountId) -> list[str]:
        """Give the SHA-256 of each photo's bytes in the set that is being collected, in order."""
        return await self._connection.read(lambda connection: db_photos.list_set_hashes(connection, account))

    async def list_job_hashes(self, job_id: JobId) -> list[str]:
        """Give the SHA-256 of each photo's bytes of a training, in order."""
        return await self._connection.read(lambda connection: db_photos.list_job_hashes(connection, job_id))

    async def delete_photos_before(self, before: datetime) -> list[str]:
        """Delete every photo older than that, and those beside it; a training that waits for them fails.

        Gives the SHA-256 of each photo's bytes.
        """
        limit_ms, now_ms = to_ms(before), self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> list[str]:
            deleted_hashes: list[str] = []
            jobs = connection.execute(
                "SELECT DISTINCT job FROM photos WHERE created_ms < ? AND job IS NOT NULL", (limit_ms,)
            ).fetchall()
            for row in jobs:  # four of five are of no use
                deleted_hashes += db_photos.list_job_hashes(connection, JobId(row["job"]))
                if db_jobs.is_open(connection, JobId(row["job"])):
                    db_jobs.fail_job(connection, JobId(row["job"]), _PHOTOS_EXPIRED_MESSAGE, now_ms)
                connection.execute("DELETE FROM photos WHERE job = ?", (row["job"],))
            rows = connection.execute(
                "DELETE FROM photos WHERE created_ms < ? RETURNING data", (limit_ms,)
            ).fetchall()
            return deleted_hashes + [hashlib.sha256(row["data"]).hexdigest() for row in rows]

        return await self._connection.write(transaction)

    async def checkpoint_wal(self) -> None:
        """Bring the write-ahead log into the ledger and cut it: deleted bytes are gone from it too."""
        await self._connection.read(
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        )

    # --- Loras and jobs ----------------------------------------------------------------------------------

    async def get_by_code(self, code: LoraCode) -> Lora | None:
        """Look a LoraCode up."""
        rows = await self._fetch_rows("SELECT * FROM loras WHERE code = ?", code)
        return lora_from_row(rows[0]) if rows else None

    async def list_for_account(self, account: AccountId) -> list[Lora]:
        """List an account's Loras, the newest first."""
        sql = "SELECT * FROM loras WHERE account = ? ORDER BY created_ms DESC, code"
        return [lora_from_row(row) for row in await self._fetch_rows(sql, account)]

    async def get(self, job_id: JobId) -> Job | None:
        """Look a job up."""
        jobs = await self._fetch_jobs("SELECT * FROM jobs WHERE id = ?", job_id)
        return jobs[0] if jobs else None

    async def list_open_for_account(self, account: AccountId) -> list[Job]:
        """List an account's queued and running jobs, the oldest first."""
        return await self._fetch_jobs(
            "SELECT * FROM jobs WHERE account = ? AND status IN ('queued', 'running') ORDER BY id", account
        )

    async def get_last_training(self, code: LoraCode) -> Job | None:
        """Give the last training job of a LoraCode."""
        jobs = await self._fetch_jobs(
            "SELECT * FROM jobs WHERE code = ? AND kind = 'train' ORDER BY id DESC LIMIT 1", code
        )
        return jobs[0] if jobs else None

    async def list_queued_ids(self) -> list[JobId]:
        """List what waits."""
        rows = await self._fetch_rows(
            "SELECT id FROM jobs WHERE kind IN ('train', 'generate') AND status = 'queued'"
        )
        return [JobId(row["id"]) for row in rows]

    async def list_running(self) -> list[Job]:
        """List what runs, the oldest first."""
        return await self._fetch_jobs(
            "SELECT * FROM jobs WHERE kind IN ('train', 'generate') AND status = 'running' ORDER BY id"
        )

    async def list_open_in_chat(self, address: ChatAddress, limit: int) -> list[Job]:
        """List jobs of a chat, in all its topics, that have not ended, the oldest first, at most so many."""
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

    async def list_open(self, kind: JobKind) -> list[Job]:
        """List what runs and waits of a kind; of those that wait and are alike, one stands for all."""
        return await self._connection.read(lambda connection: db_jobs.list_open(connection, kind))

    async def cancel(self, job_id: JobId) -> Job | None:
        """End a job that its person gave up; None when it had already ended."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            row = connection.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND status IN ('queued', 'running')", (job_id,)
            ).fetchone()
            return None if row is None else db_jobs.end_job(connection, job_id, "cancelled", None, now_ms)

        return await self._connection.write(transaction)

    # --- figures -----------------------------------------------------------------------------------------

    async def get_queue_position(self, job_id: JobId) -> int:
        """Give a job's place in line; 1 is next or running."""
        return 1 + await self._connection.read(lambda connection: db_jobs.count_ahead(connection, job_id))

    async def list_ahead(self, job_id: JobId) -> list[Job]:
        """List the jobs of its kind that a queued job waits for; as `open_jobs` does."""
        return await self._connection.read(lambda connection: db_jobs.list_ahead(connection, job_id))

    async def list_recent_durations_s(self, kind: JobKind, limit: int = 20) -> list[float]:
        """Give how long the last jobs took that were done in one attempt, in seconds, the newest first."""
        return [
            (row["finished_ms"] - row["started_ms"]) / 1000 for row in await self._fetch_recent(kind, limit)
        ]

    async def get_median_step_s(self, kind: JobKind) -> float | None:
        """Give the median seconds a step took lately; None when nothing was done yet."""
        rows = [row for row in await self._fetch_recent(kind, 20) if row["steps"]]
        if not rows:
            return None
        step_times_s = [float(row["finished_ms"] - row["started_ms"]) / 1000 / row["steps"] for row in rows]
        return float(median(step_times_s))

    async def count_all(self) -> TableCounts:
        """Count everything there is; it reads all of it."""
        jobs = await self._fetch_rows("SELECT kind, status, count(*) AS n FROM jobs GROUP BY kind, status")
        loras = await self._fetch_rows("SELECT state, count(*) AS n FROM loras GROUP BY state")
        pending_notices = await self._fetch_rows("SELECT count(*) AS n FROM notices WHERE state = 'owed'")
        accounts = await self._fetch_rows("SELECT count(*) AS n FROM accounts")
        return TableCounts(
            jobs={(JobKind(row["kind"]), JobStatus(row["status"])): row["n"] for row in jobs},
            loras={LoraState(row["state"]): row["n"] for row in loras},
            pending_notices=pending_notices[0]["n"],
            accounts=accounts[0]["n"],
        )

    # --- inside ------------------------------------------------------------------------------------------

    async def _fetch_recent(self, kind: JobKind, limit: int) -> list[sqlite3.Row]:
        return await self._fetch_rows(
            # Those during which the clock was set back tell nothing; one that ended early took fewer steps.
            "SELECT started_ms, finished_ms,"
            " iif(json_extract(likeness, '$.saved_s') IS NULL, steps, step) AS steps"
            " FROM jobs WHERE kind = ? AND status = 'done'"
            " AND attempt = 1 AND started_ms <= finished_ms ORDER BY finished_ms DESC LIMIT ?",
            str(kind),
            limit,
        )
