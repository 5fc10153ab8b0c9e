"""The ledger: every SQL statement of LoraCode, behind one door. What is not in here did not happen."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median

from bot.core.accounts import AccountId, Identity, Place
from bot.core.jobs import Job, JobId, JobKind, JobStatus, TrainWish
from bot.core.loras import Lora, LoraCode, LoraState
from bot.core.photos import NewPhoto
from bot.db import jobs as db_jobs
from bot.db import photos as db_photos
from bot.db.accounts import Belongings
from bot.db.connection import Connection
from bot.db.notices import Notices
from bot.db.rows import Added, Counts, Erased, Named, lora_of, ms
from bot.db.sharing import MAX_ASKS_A_DAY, MAX_HEARD_A_DAY, MAX_PEOPLE_A_LINK, MAX_WAITING
from bot.db.snapshot import Glance, check, copy_to, glance, named_files, nobody_else

__all__ = [
    "MAX_ASKS_A_DAY",
    "MAX_HEARD_A_DAY",
    "MAX_PEOPLE_A_LINK",
    "MAX_WAITING",
    "Added",
    "Belongings",
    "Counts",
    "Erased",
    "Glance",
    "Ledger",
    "Named",
    "check",
    "copy_to",
    "glance",
    "named_files",
    "nobody_else",
]

_PHOTOS_TOO_OLD = (
    "The photos of this training are seven days old, and I do not keep photos longer. "
    "Please send the five photos again."
)


class Ledger(Notices):
    """One door to one SQLite file; each method that writes is one transaction."""

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], datetime]) -> Ledger:
        """Open or create the ledger; LedgerError in one readable line when that cannot be."""
        return cls(await Connection.open(path, clock))

    async def close(self) -> None:
        """Close the ledger."""
        await self._db.close()

    # --- people and photos -------------------------------------------------------------------------------

    async def account_of(self, identity: Identity) -> AccountId:
        """Get or create the account of an identity."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: db_photos.account_of(db, identity, now))

    async def held(self, account: AccountId) -> int:
        """Count the photos of the set that is being collected."""
        return await self._db.read(lambda db: db_photos.held(db, account))

    async def add_photos(
        self, account: AccountId, photos: Sequence[NewPhoto], place: Place, wish: TrainWish | None
    ) -> Added:
        """Put photos into the set; when exactly five are held then, its training is queued with them.

        Without a wish they are kept and nothing begins.
        """
        now = self._db.now_ms()
        asked = None if wish is None else (place, wish)
        return await self._db.write(lambda db: db_photos.added(db, account, photos, asked, now))

    async def start_training(self, account: AccountId, place: Place, wish: TrainWish) -> Job | None:
        """Queue a training of the first five photos of the set and drop the rest; None if there are fewer."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: db_photos.start_training(db, account, (place, wish), now))

    async def forget_photos(self, account: AccountId) -> list[str]:
        """Delete the set that is being collected; gives the SHA-256 of each photo's bytes."""
        return await self._db.write(lambda db: db_photos.forget(db, account))

    async def photos_of(self, job_id: JobId) -> tuple[bytes, ...]:
        """Give the photos of a training, in the order they came."""
        rows = await self._rows(
            "SELECT data FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(row["data"] for row in rows)

    async def hints_of(self, job_id: JobId) -> tuple[str, ...]:
        """Give what the coach saw on each photo of a training, in the order they came."""
        rows = await self._rows(
            "SELECT hint FROM photos WHERE job = ? ORDER BY coalesce(place, id), id", job_id
        )
        return tuple(row["hint"] for row in rows)

    async def held_names(self, account: AccountId) -> list[str]:
        """Give the SHA-256 of each photo's bytes in the set that is being collected, in order."""
        return await self._db.read(lambda db: db_photos.held_names(db, account))

    async def names_of(self, job_id: JobId) -> list[str]:
        """Give the SHA-256 of each photo's bytes of a training, in order."""
        return await self._db.read(lambda db: db_photos.names_of(db, job_id))

    async def forget_photos_before(self, before: datetime) -> list[str]:
        """Delete every photo older than that, and those beside it; a training that waits for them fails.

        Gives the SHA-256 of each photo's bytes.
        """
        limit, now = ms(before), self._db.now_ms()

        def work(db: sqlite3.Connection) -> list[str]:
            gone: list[str] = []
            jobs = db.execute(
                "SELECT DISTINCT job FROM photos WHERE created_ms < ? AND job IS NOT NULL", (limit,)
            ).fetchall()
            for row in jobs:  # four of five are of no use
                gone += db_photos.names_of(db, JobId(row["job"]))
                if db_jobs.is_open(db, JobId(row["job"])):
                    db_jobs.fail(db, JobId(row["job"]), _PHOTOS_TOO_OLD, now)
                db.execute("DELETE FROM photos WHERE job = ?", (row["job"],))
            rows = db.execute("DELETE FROM photos WHERE created_ms < ? RETURNING data", (limit,)).fetchall()
            return gone + [hashlib.sha256(row["data"]).hexdigest() for row in rows]

        return await self._db.write(work)

    async def compact(self) -> None:
        """Bring the write-ahead log into the ledger and cut it: deleted bytes are gone from it too."""
        await self._db.read(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    # --- Loras and jobs ----------------------------------------------------------------------------------

    async def lora(self, code: LoraCode) -> Lora | None:
        """Look a LoraCode up."""
        rows = await self._rows("SELECT * FROM loras WHERE code = ?", code)
        return lora_of(rows[0]) if rows else None

    async def loras_of(self, account: AccountId) -> list[Lora]:
        """List an account's Loras, the newest first."""
        sql = "SELECT * FROM loras WHERE account = ? ORDER BY created_ms DESC, code"
        return [lora_of(row) for row in await self._rows(sql, account)]

    async def job(self, job_id: JobId) -> Job | None:
        """Look a job up."""
        jobs = await self._jobs("SELECT * FROM jobs WHERE id = ?", job_id)
        return jobs[0] if jobs else None

    async def open_jobs_of(self, account: AccountId) -> list[Job]:
        """List an account's queued and running jobs, the oldest first."""
        return await self._jobs(
            "SELECT * FROM jobs WHERE account = ? AND status IN ('queued', 'running') ORDER BY id", account
        )

    async def training_of(self, code: LoraCode) -> Job | None:
        """Give the last training job of a LoraCode."""
        jobs = await self._jobs(
            "SELECT * FROM jobs WHERE code = ? AND kind = 'train' ORDER BY id DESC LIMIT 1", code
        )
        return jobs[0] if jobs else None

    async def queued_ids(self) -> list[JobId]:
        """List what waits."""
        rows = await self._rows(
            "SELECT id FROM jobs WHERE kind IN ('train', 'generate') AND status = 'queued'"
        )
        return [JobId(row["id"]) for row in rows]

    async def running_jobs(self) -> list[Job]:
        """List what runs, the oldest first."""
        return await self._jobs(
            "SELECT * FROM jobs WHERE kind IN ('train', 'generate') AND status = 'running' ORDER BY id"
        )

    async def open_jobs_in(self, place: Place, limit: int) -> list[Job]:
        """List jobs of a chat, in all its topics, that have not ended, the oldest first, at most so many."""
        return await self._jobs(
            "SELECT * FROM jobs WHERE platform = ? AND (chat_id = ? OR substr(chat_id, 1, ?) = ?)"
            " AND status IN ('queued', 'running') ORDER BY id LIMIT ?",
            *(str(place.platform), place.chat, len(place.chat) + 1, f"{place.chat}:", limit),
        )

    async def open_jobs(self, kind: JobKind) -> list[Job]:
        """List what runs and waits of a kind; of those that wait and are alike, one stands for all."""
        return await self._db.read(lambda db: db_jobs.open_jobs(db, kind))

    async def cancel(self, job_id: JobId) -> Job | None:
        """End a job that its person gave up; None when it had already ended."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> Job | None:
            row = db.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND status IN ('queued', 'running')", (job_id,)
            ).fetchone()
            return None if row is None else db_jobs.end(db, job_id, "cancelled", None, now)

        return await self._db.write(work)

    # --- figures -----------------------------------------------------------------------------------------

    async def position(self, job_id: JobId) -> int:
        """Give a job's place in line; 1 is next or running."""
        return 1 + await self._db.read(lambda db: db_jobs.count_ahead(db, job_id))

    async def jobs_ahead(self, job_id: JobId) -> list[Job]:
        """List the jobs of its kind that a queued job waits for; as `open_jobs` does."""
        return await self._db.read(lambda db: db_jobs.ahead(db, job_id))

    async def recent_seconds(self, kind: JobKind, limit: int = 20) -> list[float]:
        """Give how long the last jobs took that were done in one attempt, in seconds, the newest first."""
        return [(row["finished_ms"] - row["started_ms"]) / 1000 for row in await self._recent(kind, limit)]

    async def seconds_per_step(self, kind: JobKind) -> float | None:
        """Give the median seconds a step took lately; None when nothing was done yet."""
        rows = [row for row in await self._recent(kind, 20) if row["steps"]]
        if not rows:
            return None
        paces = [float(row["finished_ms"] - row["started_ms"]) / 1000 / row["steps"] for row in rows]
        return float(median(paces))

    async def counts(self) -> Counts:
        """Count everything there is; it reads all of it."""
        jobs = await self._rows("SELECT kind, status, count(*) AS n FROM jobs GROUP BY kind, status")
        loras = await self._rows("SELECT state, count(*) AS n FROM loras GROUP BY state")
        owed = await self._rows("SELECT count(*) AS n FROM notices WHERE state = 'owed'")
        accounts = await self._rows("SELECT count(*) AS n FROM accounts")
        return Counts(
            jobs={(JobKind(row["kind"]), JobStatus(row["status"])): row["n"] for row in jobs},
            loras={LoraState(row["state"]): row["n"] for row in loras},
            notices_owed=owed[0]["n"],
            accounts=accounts[0]["n"],
        )

    # --- inside ------------------------------------------------------------------------------------------

    async def _recent(self, kind: JobKind, limit: int) -> list[sqlite3.Row]:
        return await self._rows(
            # Those during which the clock was set back tell nothing; one that ended early took fewer steps.
            "SELECT started_ms, finished_ms,"
            " iif(json_extract(likeness, '$.saved_s') IS NULL, steps, step) AS steps"
            " FROM jobs WHERE kind = ? AND status = 'done'"
            " AND attempt = 1 AND started_ms <= finished_ms ORDER BY finished_ms DESC LIMIT ?",
            str(kind),
            limit,
        )
