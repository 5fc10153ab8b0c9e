"""Photo sets: the photos that somebody is collecting, and what they are for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.accounts import AccountId, ChatAddress, Identity, Platform
from bot.core.jobs import Job, TrainingParams
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA, NewPhoto, PhotoSet, StoredPhoto
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import photo_sets, trainings

#: What the next photos of a person are for.
_UPSERT_SET_SQL = """
INSERT INTO photo_sets (account, touched_ms, code, steps, swaps)
VALUES (:account, :now, :code, :steps, :swaps)
ON CONFLICT (account) DO UPDATE SET touched_ms = :now, reminded_ms = NULL, code = :code, steps = :steps,
    swaps = :swaps
"""


class PhotoSetRepository:
    """Photo sets by their account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get_set(self, account: AccountId) -> PhotoSet:
        """Return the set that is being collected; it may be empty."""
        return await self._connection.read(lambda connection: photo_sets.get_set(connection, account))

    async def get_set_photos(self, account: AccountId) -> tuple[StoredPhoto, ...]:
        """Return the photos of the set, in their order."""
        rows = await self._connection.fetch_rows(
            "SELECT data_sha256, data FROM photos WHERE account = ? AND job IS NULL"
            " ORDER BY coalesce(place, id), id",
            account,
        )
        return tuple(StoredPhoto(row["data_sha256"], row["data"]) for row in rows)

    async def list_set_hashes(self, account: AccountId) -> list[str]:
        """Return the SHA-256 of each photo's stored bytes in the set, in their order."""
        return await self._connection.read(lambda connection: photo_sets.list_set_hashes(connection, account))

    async def count_collected(self, account: AccountId) -> int:
        """Count the photos of the set that is being collected."""
        return await self._connection.read(lambda connection: photo_sets.count_collected(connection, account))

    async def add_photos(
        self,
        account: AccountId,
        photos: Sequence[NewPhoto],
        address: ChatAddress,
        params: TrainingParams | None,
        idempotency_key: str = "",
    ) -> trainings.AddPhotosResult:
        """Put photos into the set; when exactly five are held then, its training is queued with them.

        Without a wish they are kept and nothing begins.
        """
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: trainings.add_photos_to_set(
                connection,
                account,
                photos,
                address=address,
                params=params,
                idempotency_key=idempotency_key,
                now_ms=now_ms,
            )
        )

    async def delete_photo(
        self,
        account: AccountId,
        photo_id: int,
        address: ChatAddress,
        params: TrainingParams | None,
        idempotency_key: str = "",
    ) -> tuple[str | None, Job | None]:
        """Delete a photo of the set; with `params`, five that are left start their training.

        Return the SHA-256 of its stored bytes, None where it is gone, and the training.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> tuple[str | None, Job | None]:
            row = connection.execute(
                "DELETE FROM photos WHERE id = ? AND account = ? AND job IS NULL RETURNING data_sha256",
                (photo_id, account),
            ).fetchone()
            if row is None:
                return None, None
            photo_sets.touch_set(connection, account, now_ms)
            job = None
            if params is not None and photo_sets.count_collected(connection, account) == PHOTOS_PER_LORA:
                job = trainings.start_training(
                    connection,
                    account,
                    address=address,
                    params=params,
                    idempotency_key=idempotency_key,
                    now_ms=now_ms,
                )
            return row["data_sha256"], job

        return await self._connection.write(transaction)

    async def update_set(
        self, account: AccountId, *, class_word: str | None = None, name: str | None = None
    ) -> None:
        """Save the class word or the name that was chosen for the set."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            photo_sets.touch_set(connection, account, now_ms)
            connection.execute(
                "UPDATE photo_sets SET class_word = coalesce(?, class_word), name = coalesce(?, name)"
                " WHERE account = ?",
                (class_word, name, account),
            )

        await self._connection.write(transaction)

    async def touch_set(self, account: AccountId, address: ChatAddress) -> None:
        """Note where and when a person last worked on their set."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            photo_sets.touch_set(connection, account, now_ms)
            photo_sets.move_set(connection, account, address)

        await self._connection.write(transaction)

    async def save_set_message(self, account: AccountId, message_id: str | None) -> None:
        """Remember which message shows the set."""
        await self._connection.execute(
            "UPDATE photo_sets SET card_message_id = ? WHERE account = ?", message_id, account
        )

    async def show_set_in(self, identity: Identity, message_id: str) -> bool:
        """Store which message shows the set of a person. Return False where nothing is collected any more."""

        def transaction(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT account FROM identities WHERE platform = ? AND user_id = ?",
                (str(identity.platform), identity.user_id),
            ).fetchone()
            if row is None:
                return False
            connection.execute(
                "UPDATE photo_sets SET card_message_id = ? WHERE account = ?", (message_id, row["account"])
            )
            return photo_sets.count_collected(connection, AccountId(row["account"])) > 0

        return await self._connection.write(transaction)

    async def delete_set(self, account: AccountId) -> list[str]:
        """Delete the set that is being collected; gives the SHA-256 of each photo's bytes."""
        return await self._connection.write(lambda connection: photo_sets.delete_set(connection, account))

    async def delete_sets_before(self, before: datetime) -> list[str]:
        """Delete sets that nobody touched since; gives the SHA-256 of each photo's bytes."""

        def transaction(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT account FROM photo_sets WHERE touched_ms < ?", (to_ms(before),)
            ).fetchall()
            deleted_hashes: list[str] = []
            for row in rows:
                deleted_hashes += photo_sets.delete_set(connection, AccountId(row["account"]))
                connection.execute("DELETE FROM photo_sets WHERE account = ?", (row["account"],))
            return deleted_hashes

        return await self._connection.write(transaction)

    async def list_sets_to_remind(
        self, platform: Platform, after: datetime, before: datetime
    ) -> list[PhotoSet]:
        """Return a platform's sets that were touched last between two times and not reminded of."""

        def query(connection: sqlite3.Connection) -> list[PhotoSet]:
            rows = connection.execute(
                "SELECT account FROM photo_sets"
                " WHERE platform = ? AND touched_ms >= ? AND touched_ms < ? AND reminded_ms IS NULL",
                (platform, to_ms(after), to_ms(before)),
            ).fetchall()
            sets = [photo_sets.get_set(connection, AccountId(row["account"])) for row in rows]
            return [each for each in sets if each.photo_ids]

        return await self._connection.read(query)

    async def mark_set_reminded(self, account: AccountId) -> None:
        """Record that a person was reminded of their set."""
        now_ms = self._connection.now_ms()
        await self._connection.execute(
            "UPDATE photo_sets SET reminded_ms = ? WHERE account = ?", now_ms, account
        )

    async def start_training(
        self, account: AccountId, address: ChatAddress, params: TrainingParams, idempotency_key: str = ""
    ) -> Job | None:
        """Queue a training of the first five photos of the set, delete the rest; None if there are fewer."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: trainings.start_training(
                connection,
                account,
                address=address,
                params=params,
                idempotency_key=idempotency_key,
                now_ms=now_ms,
            )
        )

    async def collect_for_lora(self, account: AccountId, code: LoraCode, steps: int) -> None:
        """Use the set that an account is collecting for a continued training of a Lora."""
        now_ms = self._connection.now_ms()
        values = {"account": account, "now": now_ms, "code": code, "steps": steps, "swaps": None}
        await self._connection.write(lambda connection: connection.execute(_UPSERT_SET_SQL, values))

    async def collect_replacement(
        self, account: AccountId, code: LoraCode, replaced_number: int, steps: int
    ) -> bool:
        """Use the next photo in place of a kept one. Return False where there are not five kept ones.

        The set holds copies of the others until then, so that the kept ones stay if it is discarded.
        """
        now_ms = self._connection.now_ms()
        values = {"account": account, "now": now_ms, "code": code, "steps": steps, "swaps": replaced_number}

        def transaction(connection: sqlite3.Connection) -> bool:
            kept_ids = trainings.list_kept_ids(connection, code)
            if len(kept_ids) != PHOTOS_PER_LORA:
                return False
            photo_sets.delete_set(connection, account)
            for position, photo_id in enumerate(kept_ids, 1):
                if position != replaced_number:
                    connection.execute(
                        "INSERT INTO photos (account, sha256, data_sha256, created_ms, data, hint, place)"
                        " SELECT account, sha256, data_sha256, created_ms, data, hint, ? FROM photos"
                        " WHERE id = ?",
                        (position, photo_id),
                    )
            connection.execute(_UPSERT_SET_SQL, values)
            return True

        return await self._connection.write(transaction)

    async def collect_for_new_lora(self, account: AccountId) -> list[str]:
        """Use the set that an account is collecting for a new Lora.

        Return the SHA-256 of each photo that is deleted with that: all of them where one was to be replaced.
        """

        def transaction(connection: sqlite3.Connection) -> list[str]:
            row = connection.execute("SELECT swaps FROM photo_sets WHERE account = ?", (account,)).fetchone()
            is_swap = row is not None and row["swaps"] is not None
            deleted_hashes = photo_sets.delete_set(connection, account) if is_swap else []
            connection.execute(
                "UPDATE photo_sets SET code = NULL, steps = NULL, swaps = NULL WHERE account = ?", (account,)
            )
            return deleted_hashes

        return await self._connection.write(transaction)
