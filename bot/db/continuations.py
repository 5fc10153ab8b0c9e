"""Training a Lora further: with photos that were kept of it, or with a set that is collected for it."""

from __future__ import annotations

import sqlite3

from bot.core.accounts import AccountId, Place
from bot.core.jobs import Job, Picture
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA
from bot.db import photos
from bot.db.accounts import People
from bot.db.rows import picture_of

#: What the next photos of a person are for.
_COLLECT = """
INSERT INTO photo_sets (account, touched_ms, code, steps, swaps)
VALUES (:account, :now, :code, :steps, :swaps)
ON CONFLICT (account) DO UPDATE SET touched_ms = :now, reminded_ms = NULL, code = :code, steps = :steps,
    swaps = :swaps
"""


class Further(People):
    """Loras that learn more."""

    async def train_further(self, account: AccountId, code: LoraCode, place: Place, steps: int) -> Job | None:
        """Queue a further training on the photos that were kept; None where there are no five."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> Job | None:
            if len(_kept(db, code)) != PHOTOS_PER_LORA:
                return None
            job = photos.further(db, (account, code), place, steps, now)
            if job is not None:
                db.execute(
                    f"UPDATE photos SET job = :job WHERE job IN {photos.KEPT}",  # noqa: S608 - our own words
                    {"job": job.id, "code": code},
                )
            return job

        return await self._db.write(work)

    async def collect_for(self, account: AccountId, code: LoraCode, steps: int) -> None:
        """Let the photos that an account is collecting be for a further training of a Lora."""
        now = self._db.now_ms()
        asked = {"account": account, "now": now, "code": code, "steps": steps, "swaps": None}
        await self._db.write(lambda db: db.execute(_COLLECT, asked))

    async def collect_swap(self, account: AccountId, code: LoraCode, number: int, steps: int) -> bool:
        """Let the next photo take the place of one of those that were kept; False where there are no five.

        The set holds copies of the others until then: who leaves it loses nothing that is kept.
        """
        now = self._db.now_ms()
        asked = {"account": account, "now": now, "code": code, "steps": steps, "swaps": number}

        def work(db: sqlite3.Connection) -> bool:
            kept = _kept(db, code)
            if len(kept) != PHOTOS_PER_LORA:
                return False
            photos.forget(db, account)
            for place, photo in enumerate(kept, 1):
                if place != number:
                    db.execute(
                        "INSERT INTO photos (account, sha256, created_ms, data, hint, place)"
                        " SELECT account, sha256, created_ms, data, hint, ? FROM photos WHERE id = ?",
                        (place, photo),
                    )
            db.execute(_COLLECT, asked)
            return True

        return await self._db.write(work)

    async def collect_anew(self, account: AccountId) -> list[str]:
        """Let the photos that an account is collecting be for a new Lora.

        Gives the SHA-256 of each photo's bytes that is deleted with that: of a swap, all of them.
        """

        def work(db: sqlite3.Connection) -> list[str]:
            row = db.execute("SELECT swaps FROM photo_sets WHERE account = ?", (account,)).fetchone()
            is_swap = row is not None and row["swaps"] is not None
            forgotten = photos.forget(db, account) if is_swap else []
            db.execute(
                "UPDATE photo_sets SET code = NULL, steps = NULL, swaps = NULL WHERE account = ?", (account,)
            )
            return forgotten

        return await self._db.write(work)

    async def made_with(self, code: LoraCode) -> list[Picture]:
        """List what the last training of a Lora drew: its strip, then the pictures the Lora was chosen by."""
        rows = await self._rows(
            "SELECT * FROM pictures WHERE job = (SELECT max(id) FROM jobs WHERE code = ? AND kind = 'train'"
            " AND status = 'done') ORDER BY number",
            code,
        )
        return [picture_of(row) for row in rows]

    async def keeps_photos_of(self, code: LoraCode) -> bool:
        """Say whether photos of a Lora's trainings that have ended are kept."""
        sql = f"SELECT 1 FROM photos WHERE job IN {photos.KEPT} LIMIT 1"  # noqa: S608 - our own words
        rows = await self._db.read(lambda db: db.execute(sql, {"code": code}).fetchall())
        return bool(rows)


def _kept(db: sqlite3.Connection, code: LoraCode) -> list[int]:
    sql = f"SELECT id FROM photos WHERE job IN {photos.KEPT} ORDER BY coalesce(place, id), id"  # noqa: S608 - our own words
    return [row["id"] for row in db.execute(sql, {"code": code})]
