"""Training a Lora further: with photos that were kept of it, or with a set that is collected for it."""

from __future__ import annotations

import sqlite3

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import Job, Picture
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA
from bot.db import photos
from bot.db.accounts import AccountRepository
from bot.db.rows import picture_from_row

#: What the next photos of a person are for.
_UPSERT_SET_SQL = """
INSERT INTO photo_sets (account, touched_ms, code, steps, swaps)
VALUES (:account, :now, :code, :steps, :swaps)
ON CONFLICT (account) DO UPDATE SET touched_ms = :now, reminded_ms = NULL, code = :code, steps = :steps,
    swaps = :swaps
"""


class PhotoRepository(AccountRepository):
    """Loras that learn more."""

    async def continue_training(
        self, account: AccountId, code: LoraCode, address: ChatAddress, steps: int
    ) -> Job | None:
        """Queue a further training on the photos that were kept; None where there are no five."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            if len(_list_kept_ids(connection, code)) != PHOTOS_PER_LORA:
                return None
            job = photos.continue_training(connection, (account, code), address, steps, now_ms)
            if job is not None:
                connection.execute(
                    f"UPDATE photos SET job = :job WHERE job IN {photos.KEPT_PHOTO_JOBS_SQL}",  # noqa: S608 - our own words
                    {"job": job.id, "code": code},
                )
            return job

        return await self._connection.write(transaction)

    async def collect_for_lora(self, account: AccountId, code: LoraCode, steps: int) -> None:
        """Let the photos that an account is collecting be for a further training of a Lora."""
        now_ms = self._connection.now_ms()
        values = {"account": account, "now": now_ms, "code": code, "steps": steps, "swaps": None}
        await self._connection.write(lambda connection: connection.execute(_UPSERT_SET_SQL, values))

    async def collect_replacement(
        self, account: AccountId, code: LoraCode, replaced_number: int, steps: int
    ) -> bool:
        """Let the next photo take the place of one of those that were kept; False where there are no five.

        The set holds copies of the others until then: who leaves it loses nothing that is kept.
        """
        now_ms = self._connection.now_ms()
        values = {"account": account, "now": now_ms, "code": code, "steps": steps, "swaps": replaced_number}

        def transaction(connection: sqlite3.Connection) -> bool:
            kept_ids = _list_kept_ids(connection, code)
            if len(kept_ids) != PHOTOS_PER_LORA:
                return False
            photos.delete_set(connection, account)
            for position, photo_id in enumerate(kept_ids, 1):
                if position != replaced_number:
                    connection.execute(
                        "INSERT INTO photos (account, sha256, created_ms, data, hint, place)"
                        " SELECT account, sha256, created_ms, data, hint, ? FROM photos WHERE id = ?",
                        (position, photo_id),
                    )
            connection.execute(_UPSERT_SET_SQL, values)
            return True

        return await self._connection.write(transaction)

    async def collect_for_new_lora(self, account: AccountId) -> list[str]:
        """Let the photos that an account is collecting be for a new Lora.

        Gives the SHA-256 of each photo's bytes that is deleted with that: of a swap, all of them.
        """

        def transaction(connection: sqlite3.Connection) -> list[str]:
            row = connection.execute("SELECT swaps FROM photo_sets WHERE account = ?", (account,)).fetchone()
            is_swap = row is not None and row["swaps"] is not None
            deleted_hashes = photos.delete_set(connection, account) if is_swap else []
            connection.execute(
                "UPDATE photo_sets SET code = NULL, steps = NULL, swaps = NULL WHERE account = ?", (account,)
            )
            return deleted_hashes

        return await self._connection.write(transaction)

    async def list_training_pictures(self, code: LoraCode) -> list[Picture]:
        """List what the last training of a Lora drew: its strip, then the pictures the Lora was chosen by."""
        rows = await self._fetch_rows(
            "SELECT * FROM pictures WHERE job = (SELECT max(id) FROM jobs WHERE code = ? AND kind = 'train'"
            " AND status = 'done') ORDER BY number",
            code,
        )
        return [picture_from_row(row) for row in rows]

    async def has_kept_photos(self, code: LoraCode) -> bool:
        """Say whether photos of a Lora's trainings that have ended are kept."""
        sql = f"SELECT 1 FROM photos WHERE job IN {photos.KEPT_PHOTO_JOBS_SQL} LIMIT 1"  # noqa: S608 - our own words
        rows = await self._connection.read(
            lambda connection: connection.execute(sql, {"code": code}).fetchall()
        )
        return bool(rows)


def _list_kept_ids(connection: sqlite3.Connection, code: LoraCode) -> list[int]:
    sql = f"SELECT id FROM photos WHERE job IN {photos.KEPT_PHOTO_JOBS_SQL} ORDER BY coalesce(place, id), id"  # noqa: S608 - our own words
    return [row["id"] for row in connection.execute(sql, {"code": code})]
