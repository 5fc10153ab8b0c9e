"""People: what they agreed to, what is theirs, and how it ends: the ledger's third part."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from bot.core.accounts import AccountId, Identity, Place, Platform, Preferences, Question
from bot.core.jobs import Job, TrainWish
from bot.core.loras import LoraCode
from bot.core.photos import PHOTOS_PER_LORA, PhotoSet
from bot.db import erasure, linking
from bot.db import photos as db_photos
from bot.db.results import Results
from bot.db.rows import Erased, ms

#: A question that nobody answered for so long is forgotten: a later message was not meant for it.
QUESTION_MS = 3_600_000
#: So many jobs and their pictures are counted in one read, a millisecond or two; then others have their turn.
AT_ONCE = 500
_SOME_JOBS = """
SELECT created_ms, id,
    (SELECT count(*) FROM pictures WHERE job = jobs.id AND deleted_ms IS NULL) AS pictures
FROM jobs WHERE account = ? AND kind = 'generate' AND (created_ms, id) > (?, ?)
ORDER BY created_ms, id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Belongings:
    """How much is kept of an account."""

    photos: int
    loras: int
    pictures: int
    jobs: int
    identities: int


class People(Results):
    """Accounts, beyond their photos and jobs."""

    async def known_account(self, identity: Identity) -> AccountId | None:
        """Give the account of an identity without making one; None for somebody new."""
        sql = "SELECT account FROM identities WHERE platform = ? AND user_id = ?"
        rows = await self._rows(sql, str(identity.platform), identity.user_id)
        return AccountId(rows[0]["account"]) if rows else None

    async def belongings_of(self, account: AccountId) -> Belongings:
        """Count what is kept of an account."""
        sql = """
            SELECT (SELECT count(*) FROM photos WHERE account = :account) AS photos,
                (SELECT count(*) FROM loras WHERE account = :account) AS loras,
                (SELECT count(*) FROM identities WHERE account = :account) AS identities
        """
        row = await self._db.read(lambda db: db.execute(sql, {"account": account}).fetchone())
        jobs = pictures = 0
        after = (0, 0)
        while some := await self._rows(_SOME_JOBS, account, *after, AT_ONCE):
            jobs += len(some)
            pictures += sum(each["pictures"] for each in some)
            after = (some[-1]["created_ms"], some[-1]["id"])
        return Belongings(**row, jobs=jobs, pictures=pictures)

    async def erase_account(self, account: AccountId) -> Erased:
        """Delete everything of an account, and all that anybody drew with its Loras; bare codes stay."""
        return await self._db.write(lambda db: erasure.erase_account(db, account))

    async def erase_lora(self, code: LoraCode) -> Erased:
        """Delete a Lora and all that anybody drew with it; its bare code stays."""
        return await self._db.write(lambda db: erasure.erase_lora(db, code))

    async def give_link_word(self, account: AccountId, word: str, expires_at: datetime) -> None:
        """Let a word stand for an account until then."""
        await self._db.write(lambda db: linking.give_word(db, account, word, ms(expires_at)))

    async def owner_of_link_word(self, word: str) -> AccountId | None:
        """Give the account that a word stands for now."""
        now = self._db.now_ms()
        return await self._db.read(lambda db: linking.owner_of(db, word, now))

    async def join_accounts(self, word: str, account: AccountId) -> bool:
        """Make an account one with that of a word, which is spent; False when it stands for none any more."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> bool:
            owner = linking.owner_of(db, word, now)
            if owner is None or owner == account:
                return False
            linking.join(db, stays=owner, goes=account)
            return True

        return await self._db.write(work)

    # --- consent -----------------------------------------------------------------------------------------

    async def has_consented(self, account: AccountId) -> bool:
        """Say whether a person has agreed to what the photos must be."""
        rows = await self._rows("SELECT 1 FROM accounts WHERE id = ? AND consented_ms NOT NULL", account)
        return bool(rows)

    async def consent(self, account: AccountId) -> None:
        """Note that a person agreed, and when they first did."""
        sql = "UPDATE accounts SET consented_ms = coalesce(consented_ms, ?) WHERE id = ?"
        await self._change(sql, self._db.now_ms(), account)

    # --- what they want where they say nothing -----------------------------------------------------------

    async def preferences_of(self, account: AccountId) -> Preferences:
        """Give what an account set."""
        rows = await self._rows("SELECT * FROM accounts WHERE id = ?", account)
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

    async def prefer(self, account: AccountId, wanted: Preferences) -> None:
        """Keep what an account set; photos that it no longer keeps are deleted."""
        sql = (
            "UPDATE accounts SET size = ?, style = ?, is_silent = ?, language = ?, keeps_photos = ?"
            " WHERE id = ?"
        )
        values = (wanted.size, wanted.style, int(wanted.is_silent), wanted.language or None)

        def work(db: sqlite3.Connection) -> None:
            db.execute(sql, (*values, int(wanted.keeps_photos), account))
            if not wanted.keeps_photos:
                db_photos.forget_kept(db, account)

        await self._db.write(work)

    async def language_of(self, who: Identity) -> str:
        """Give the language a person chose, else the locale their app told last; empty for somebody new.

        A locale that `who` carries is remembered: notices come when no app tells any.
        """
        sql = (
            "SELECT locale, language FROM identities JOIN accounts ON accounts.id = account"
            " WHERE platform = ? AND user_id = ?"
        )
        key = (str(who.platform), who.user_id)
        rows = await self._rows(sql, *key)
        if not rows:
            return who.locale
        if who.locale and who.locale != rows[0]["locale"]:
            update = "UPDATE identities SET locale = ? WHERE platform = ? AND user_id = ?"
            await self._change(update, who.locale, *key)
        return rows[0]["language"] or who.locale or rows[0]["locale"]

    # --- the set that is being collected -----------------------------------------------------------------

    async def photo_set(self, account: AccountId) -> PhotoSet:
        """Give the set that is being collected; it may be empty."""
        return await self._db.read(lambda db: db_photos.photo_set(db, account))

    async def choose(
        self, account: AccountId, *, class_word: str | None = None, name: str | None = None
    ) -> None:
        """Keep what was chosen for the set."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> None:
            db_photos.touch(db, account, now)
            db.execute(
                "UPDATE photo_sets SET class_word = coalesce(?, class_word), name = coalesce(?, name)"
                " WHERE account = ?",
                (class_word, name, account),
            )

        await self._db.write(work)

    async def set_touched(self, account: AccountId, place: Place) -> None:
        """Note where and when a person last worked on their set; on Discord its one message stays."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> None:
            db_photos.touch(db, account, now)
            db.execute(
                "UPDATE photo_sets SET card_message_id = CASE WHEN platform = :platform"
                " AND (chat_id = :chat OR platform = 'discord') THEN card_message_id END,"
                " platform = :platform, chat_id = :chat, user_id = :user"
                " WHERE account = :account",
                {
                    "platform": str(place.platform),
                    "chat": place.chat_id,
                    "user": place.user_id,
                    "account": account,
                },
            )

        await self._db.write(work)

    async def set_shown(self, account: AccountId, message_id: str | None) -> None:
        """Remember which message shows the set."""
        await self._change("UPDATE photo_sets SET card_message_id = ? WHERE account = ?", message_id, account)

    async def set_photos(self, account: AccountId) -> tuple[bytes, ...]:
        """Give the photos of the set, in the order they came."""
        rows = await self._rows(
            "SELECT data FROM photos WHERE account = ? AND job IS NULL ORDER BY coalesce(place, id), id",
            account,
        )
        return tuple(row["data"] for row in rows)

    async def drop_photo(
        self, account: AccountId, photo: int, place: Place, wish: TrainWish | None
    ) -> tuple[str | None, Job | None]:
        """Delete a photo of the set; gives the SHA-256 of its bytes, and the training when five are left.

        Without a wish nothing begins.
        """
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> tuple[str | None, Job | None]:
            row = db.execute(
                "DELETE FROM photos WHERE id = ? AND account = ? AND job IS NULL RETURNING data",
                (photo, account),
            ).fetchone()
            if row is None:
                return None, None
            db_photos.touch(db, account, now)
            job = None
            if wish is not None and db_photos.held(db, account) == PHOTOS_PER_LORA:
                job = db_photos.start_training(db, account, (place, wish), now)
            return hashlib.sha256(row["data"]).hexdigest(), job

        return await self._db.write(work)

    async def sets_to_remind(self, before: datetime) -> list[PhotoSet]:
        """List the sets with photos that nobody touched since, and whose person was not reminded."""

        def work(db: sqlite3.Connection) -> list[PhotoSet]:
            rows = db.execute(
                "SELECT account FROM photo_sets"
                " WHERE touched_ms < ? AND reminded_ms IS NULL AND platform != ''",
                (ms(before),),
            ).fetchall()
            sets = [db_photos.photo_set(db, AccountId(row["account"])) for row in rows]
            return [each for each in sets if each.photos]

        return await self._db.read(work)

    async def set_reminded(self, account: AccountId) -> None:
        """Note that a person was reminded of their set."""
        now = self._db.now_ms()
        await self._change("UPDATE photo_sets SET reminded_ms = ? WHERE account = ?", now, account)

    async def forget_sets_before(self, before: datetime) -> list[str]:
        """Delete sets that nobody touched since; gives the SHA-256 of each photo's bytes."""

        def work(db: sqlite3.Connection) -> list[str]:
            rows = db.execute("SELECT account FROM photo_sets WHERE touched_ms < ?", (ms(before),)).fetchall()
            forgotten: list[str] = []
            for row in rows:
                forgotten += db_photos.forget(db, AccountId(row["account"]))
                db.execute("DELETE FROM photo_sets WHERE account = ?", (row["account"],))
            return forgotten

        return await self._db.write(work)

    # --- questions that the next plain message answers ---------------------------------------------------

    async def ask(self, account: AccountId, question: Question) -> None:
        """Remember what a person was asked, over an earlier question."""
        values = (account, question.about, str(question.platform), self._db.now_ms())
        await self._change("INSERT OR REPLACE INTO questions VALUES (?, ?, ?, ?)", *values)

    async def question_of(self, account: AccountId) -> Question | None:
        """Give what a person was asked, unless they left it."""
        sql = "SELECT * FROM questions WHERE account = ? AND asked_ms > ?"
        rows = await self._rows(sql, account, self._db.now_ms() - QUESTION_MS)
        return Question(rows[0]["about"], Platform(rows[0]["platform"])) if rows else None

    async def drop_question(self, account: AccountId) -> None:
        """Forget what a person was asked."""
        await self._change("DELETE FROM questions WHERE account = ?", account)

    # --- names -------------------------------------------------------------------------------------------

    async def rename(self, code: LoraCode, name: str) -> None:
        """Give a Lora a name."""
        await self._change("UPDATE loras SET name = ? WHERE code = ?", name, code)
