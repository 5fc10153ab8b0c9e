"""People: what they agreed to, what is theirs, and how it ends: the ledger's third part."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from bot.core.accounts import AccountId, ChatAddress, Identity, PendingQuestion, Platform, Preferences
from bot.core.jobs import Job, TrainingParams
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA, PhotoSet
from bot.db import erasure, linking
from bot.db import photos as db_photos
from bot.db.results import ResultRepository
from bot.db.rows import ErasureResult, to_ms

#: A question that nobody answered for so long is forgotten: a later message was not meant for it.
QUESTION_TIMEOUT_MS = 3_600_000
#: So many jobs and their pictures are counted in one read, a millisecond or two; then others have their turn.
JOB_COUNT_BATCH_SIZE = 500
_JOB_BATCH_SQL = """
SELECT created_ms, id,
    (SELECT count(*) FROM pictures WHERE job = jobs.id AND deleted_ms IS NULL) AS pictures
FROM jobs WHERE account = ? AND kind = 'generate' AND (created_ms, id) > (?, ?)
ORDER BY created_ms, id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class StoredData:
    """How much is kept of an account."""

    photos: int
    loras: int
    pictures: int
    jobs: int
    identities: int


class AccountRepository(ResultRepository):
    """Accounts, beyond their photos and jobs."""

    async def find_by_identity(self, identity: Identity) -> AccountId | None:
        """Give the account of an identity without making one; None for somebody new."""
        sql = "SELECT account FROM identities WHERE platform = ? AND user_id = ?"
        rows = await self._fetch_rows(sql, str(identity.platform), identity.user_id)
        return AccountId(rows[0]["account"]) if rows else None

    async def count_stored_data(self, account: AccountId) -> StoredData:
        """Count what is kept of an account."""
        sql = """
            SELECT (SELECT count(*) FROM photos WHERE account = :account) AS photos,
                (SELECT count(*) FROM loras WHERE account = :account) AS loras,
                (SELECT count(*) FROM identities WHERE account = :account) AS identities
        """
        row = await self._connection.read(
            lambda connection: connection.execute(sql, {"account": account}).fetchone()
        )
        jobs = pictures = 0
        after = (0, 0)
        while batch := await self._fetch_rows(_JOB_BATCH_SQL, account, *after, JOB_COUNT_BATCH_SIZE):
            jobs += len(batch)
            pictures += sum(each["pictures"] for each in batch)
            after = (batch[-1]["created_ms"], batch[-1]["id"])
        return StoredData(**row, jobs=jobs, pictures=pictures)

    async def erase_account(self, account: AccountId) -> ErasureResult:
        """Delete everything of an account, and all that anybody drew with its Loras; bare codes stay."""
        return await self._connection.write(lambda connection: erasure.erase_account(connection, account))

    async def erase_lora(self, code: LoraCode) -> ErasureResult:
        """Delete a Lora and all that anybody drew with it; its bare code stays."""
        return await self._connection.write(lambda connection: erasure.erase_lora(connection, code))

    async def save_link_token(self, account: AccountId, token: str, expires_at: datetime) -> None:
        """Let a word stand for an account until then."""
        await self._connection.write(
            lambda connection: linking.save_link_token(connection, account, token, to_ms(expires_at))
        )

    async def get_link_token_account(self, token: str) -> AccountId | None:
        """Give the account that a word stands for now."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: linking.get_link_token_account(connection, token, now_ms)
        )

    async def merge_accounts(self, token: str, account: AccountId) -> bool:
        """Make an account one with that of a word, which is spent; False when it stands for none any more."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> bool:
            owner = linking.get_link_token_account(connection, token, now_ms)
            if owner is None or owner == account:
                return False
            linking.merge_accounts(connection, kept_account=owner, merged_account=account)
            return True

        return await self._connection.write(transaction)

    # --- consent -----------------------------------------------------------------------------------------

    async def has_consented(self, account: AccountId) -> bool:
        """Say whether a person has agreed to what the photos must be."""
        rows = await self._fetch_rows(
            "SELECT 1 FROM accounts WHERE id = ? AND consented_ms NOT NULL", account
        )
        return bool(rows)

    async def record_consent(self, account: AccountId) -> None:
        """Note that a person agreed, and when they first did."""
        sql = "UPDATE accounts SET consented_ms = coalesce(consented_ms, ?) WHERE id = ?"
        await self._execute(sql, self._connection.now_ms(), account)

    # --- what they want where they say nothing -----------------------------------------------------------

    async def get_preferences(self, account: AccountId) -> Preferences:
        """Give what an account set."""
        rows = await self._fetch_rows("SELECT * FROM accounts WHERE id = ?", account)
        if not rows:
            return Preferences()
        row = rows[0]
        return Preferences(
            row["size"],
            row["style"],
            bool(row["is_silent"]),
            row["language"] or "",
            bool(row["keeps_photos"]),
        )

    async def save_preferences(self, account: AccountId, preferences: Preferences) -> None:
        """Keep what an account set; photos that it no longer keeps are deleted."""
        sql = (
            "UPDATE accounts SET size = ?, style = ?, is_silent = ?, language = ?, keeps_photos = ?"
            " WHERE id = ?"
        )
        values = (
            preferences.size,
            preferences.style,
            int(preferences.is_silent),
            preferences.language or None,
        )

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(sql, (*values, int(preferences.keeps_photos), account))
            if not preferences.keeps_photos:
                db_photos.delete_kept_photos(connection, account)

        await self._connection.write(transaction)

    async def get_language(self, identity: Identity) -> str:
        """Give the language a person chose, else the locale their app told last; empty for somebody new.

        A locale that `who` carries is remembered: notices come when no app tells any.
        """
        sql = (
            "SELECT locale, language FROM identities JOIN accounts ON accounts.id = account"
            " WHERE platform = ? AND user_id = ?"
        )
        key = (str(identity.platform), identity.user_id)
        rows = await self._fetch_rows(sql, *key)
        if not rows:
            return identity.locale
        if identity.locale and identity.locale != rows[0]["locale"]:
            update = "UPDATE identities SET locale = ? WHERE platform = ? AND user_id = ?"
            await self._execute(update, identity.locale, *key)
        return rows[0]["language"] or identity.locale or rows[0]["locale"]

    # --- the set that is being collected -----------------------------------------------------------------

    async def get_set(self, account: AccountId) -> PhotoSet:
        """Give the set that is being collected; it may be empty."""
        return await self._connection.read(lambda connection: db_photos.get_set(connection, account))

    async def update_set(
        self, account: AccountId, *, class_word: str | None = None, name: str | None = None
    ) -> None:
        """Keep what was chosen for the set."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            db_photos.touch_set(connection, account, now_ms)
            connection.execute(
                "UPDATE photo_sets SET class_word = coalesce(?, class_word), name = coalesce(?, name)"
                " WHERE account = ?",
                (class_word, name, account),
            )

        await self._connection.write(transaction)

    async def touch_set(self, account: AccountId, address: ChatAddress) -> None:
        """Note where and when a person last worked on their set; on Discord its one message stays."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            db_photos.touch_set(connection, account, now_ms)
            connection.execute(
                "UPDATE photo_sets SET card_message_id = CASE WHEN platform = :platform"
                " AND (chat_id = :chat OR platform = 'discord') THEN card_message_id END,"
                " platform = :platform, chat_id = :chat, user_id = :user"
                " WHERE account = :account",
                {
                    "platform": str(address.platform),
                    "chat": address.chat_id,
                    "user": address.user_id,
                    "account": account,
                },
            )

        await self._connection.write(transaction)

    async def save_set_message(self, account: AccountId, message_id: str | None) -> None:
        """Remember which message shows the set."""
        await self._execute(
            "UPDATE photo_sets SET card_message_id = ? WHERE account = ?", message_id, account
        )

    async def get_set_photos(self, account: AccountId) -> tuple[bytes, ...]:
        """Give the photos of the set, in the order they came."""
        rows = await self._fetch_rows(
            "SELECT data FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id",
            account,
        )
        return tuple(row["data"] for row in rows)

    async def delete_photo(
        self, account: AccountId, photo_id: int, address: ChatAddress, params: TrainingParams | None
    ) -> tuple[str | None, Job | None]:
        """Delete a photo of the set; gives the SHA-256 of its bytes, and the training when five are left.

        Without a wish nothing begins.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> tuple[str | None, Job | None]:
            row = connection.execute(
                "DELETE FROM photos WHERE id = ? AND account = ? AND job IS NULL RETURNING data",
                (photo_id, account),
            ).fetchone()
            if row is None:
                return None, None
            db_photos.touch_set(connection, account, now_ms)
            job = None
            if params is not None and db_photos.count_collected(connection, account) == PHOTOS_PER_LORA:
                job = db_photos.start_training(connection, account, (address, params), now_ms)
            return hashlib.sha256(row["data"]).hexdigest(), job

        return await self._connection.write(transaction)

    async def list_sets_to_remind(self, before: datetime) -> list[PhotoSet]:
        """List the sets with photos that nobody touched since, and whose person was not reminded."""

        def query(connection: sqlite3.Connection) -> list[PhotoSet]:
            rows = connection.execute(
                "SELECT account FROM photo_sets"
                " WHERE touched_ms < ? AND reminded_ms IS NULL AND platform != ''",
                (to_ms(before),),
            ).fetchall()
            sets = [db_photos.get_set(connection, AccountId(row["account"])) for row in rows]
            return [each for each in sets if each.photo_ids]

        return await self._connection.read(query)

    async def mark_set_reminded(self, account: AccountId) -> None:
        """Note that a person was reminded of their set."""
        now_ms = self._connection.now_ms()
        await self._execute("UPDATE photo_sets SET reminded_ms = ? WHERE account = ?", now_ms, account)

    async def delete_sets_before(self, before: datetime) -> list[str]:
        """Delete sets that nobody touched since; gives the SHA-256 of each photo's bytes."""

        def transaction(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT account FROM photo_sets WHERE touched_ms < ?", (to_ms(before),)
            ).fetchall()
            deleted_hashes: list[str] = []
            for row in rows:
                deleted_hashes += db_photos.delete_set(connection, AccountId(row["account"]))
                connection.execute("DELETE FROM photo_sets WHERE account = ?", (row["account"],))
            return deleted_hashes

        return await self._connection.write(transaction)

    # --- questions that the next plain message answers ---------------------------------------------------

    async def save_question(self, account: AccountId, question: PendingQuestion) -> None:
        """Remember what a person was asked, over an earlier question."""
        values = (account, question.subject, str(question.platform), self._connection.now_ms())
        await self._execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", *values)

    async def get_question(self, account: AccountId) -> PendingQuestion | None:
        """Give what a person was asked, unless they left it."""
        sql = "SELECT * FROM questions WHERE account = ? AND asked_ms > ?"
        rows = await self._fetch_rows(sql, account, self._connection.now_ms() - QUESTION_TIMEOUT_MS)
        return PendingQuestion(rows[0]["about"], Platform(rows[0]["platform"])) if rows else None

    async def delete_question(self, account: AccountId) -> None:
        """Forget what a person was asked."""
        await self._execute("DELETE FROM questions WHERE account = ?", account)

    # --- names -------------------------------------------------------------------------------------------

    async def rename(self, code: LoraCode, name: str) -> None:
        """Give a Lora a name."""
        await self._execute("UPDATE loras SET name = ? WHERE code = ?", name, code)
