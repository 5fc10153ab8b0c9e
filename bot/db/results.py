"""Generations, the pictures they leave, and drafts of them: the ledger's second half."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from bot.core.accounts import AccountId, Place
from bot.core.errors import ShareEnded
from bot.core.jobs import Draft, GenerateWish, Job, JobId, Picture
from bot.core.likeness import Pick
from bot.core.loras import LoraCode
from bot.core.outbox import Copy, NoticeKind
from bot.db import jobs, photos, sharing, stale_messages
from bot.db.connection import Connection
from bot.db.rows import Named, draft_of, job_of, ms, picture_of, time_of

#: A draft that nobody touched for so long is forgotten: a later message was not meant for it.
DRAFT_MS = 3_600_000
# A file's name begins with what it belongs to, so that nothing has to be searched.
_IS_NAMED = {
    "loras": "SELECT EXISTS (SELECT 1 FROM loras WHERE code = substr(:file, 1, 8) AND file = :file)",
    "pictures": """
        SELECT EXISTS (SELECT 1 FROM pictures WHERE job = CAST(:file AS INTEGER) AND file = :file
            AND deleted_ms IS NULL)
        OR EXISTS (SELECT 1 FROM notices, json_each(notices.files) AS each
            WHERE notices.job = CAST(:file AS INTEGER) AND kind = 'train_done' AND each.value = :file)
    """,
}


class Results:
    """What is asked for and what came of it, by job."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    async def add_generation(
        self, account: AccountId, code: LoraCode, wish: GenerateWish, place: Place
    ) -> Job:
        """Queue a generation; ShareEnded when a Lora in it is not, or no longer, theirs to draw with."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: _queued(db, (account, code), wish, place, now))

    async def finish_draft(self, draft: Draft, wish: GenerateWish, place: Place) -> Job | None:
        """Queue what a draft has become and drop it; None when it is no longer there. ShareEnded likewise."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> Job | None:
            if not db.execute("DELETE FROM drafts WHERE account = ?", (draft.account,)).rowcount:
                return None
            return _queued(db, (draft.account, draft.code), wish, place, now)

        return await self._db.write(work)

    async def finish_generation(
        self,
        job_id: JobId,
        attempt: int,
        files: Sequence[str],
        recipes: Sequence[str] = (),
        picked: tuple[Pick, GenerateWish] | None = None,
    ) -> bool:
        """Job done, its pictures kept, notice with them owed. Fenced: False for an older attempt.

        `picked` is why it is this one of several, and the wish that draws it.
        """
        now = self._db.now_ms()
        recipes = [*recipes, *[""] * (len(files) - len(recipes))]

        def work(db: sqlite3.Connection) -> None:
            if picked is not None:
                pick, wish = (msgspec.json.encode(each).decode() for each in picked)
                db.execute("UPDATE jobs SET likeness = ?, wish = ? WHERE id = ?", (pick, wish, job_id))
            job = jobs.end(db, job_id, "done", None, now)
            jobs.keep_pictures(db, job_id, list(zip(files, recipes, strict=True)))
            jobs.owe(db, job, NoticeKind.GENERATE_DONE, now, files)

        return await self._fenced(job_id, attempt, work)

    async def pictures_of(self, job_id: JobId) -> list[Picture]:
        """List the pictures of a result, deleted ones too."""
        rows = await self._rows("SELECT * FROM pictures WHERE job = ? ORDER BY number", job_id)
        return [picture_of(row) for row in rows]

    async def delete_result(self, job_id: JobId) -> list[Picture]:
        """Blank a result's words and mark its pictures; gives those whose files are to be deleted now.

        How many were drawn still counts. Messages that show it are to lose it from then on.
        """
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> list[Picture]:
            rows = db.execute("SELECT * FROM pictures WHERE job = ? ORDER BY number", (job_id,)).fetchall()
            db.execute(
                "UPDATE pictures SET deleted_ms = coalesce(deleted_ms, ?), recipe = '' WHERE job = ?",
                (now, job_id),
            )
            blank = msgspec.json.encode(GenerateWish("")).decode()
            db.execute(
                "UPDATE jobs SET wish = json_set(?, '$.count', coalesce(json_extract(wish, '$.count'), 1))"
                " WHERE id = ? AND kind = 'generate'",
                (blank, job_id),
            )
            stale_messages.end(db, job_id, now)
            return [picture_of(row) for row in rows]

        return await self._db.write(work)

    # --- messages that show a result -----------------------------------------------------------------------

    async def card_shown(self, job_id: JobId, message_id: str) -> None:
        """Remember which message shows a job's progress."""
        now = self._db.now_ms()
        await self._db.write(lambda db: stale_messages.card_shown(db, job_id, message_id, now))

    async def copy_shown(self, job_id: JobId, place: Place, message_id: str) -> bool:
        """Remember a further message that shows a result; True when the result was deleted meanwhile."""
        now = self._db.now_ms()
        return await self._db.write(lambda db: stale_messages.note(db, job_id, place, message_id, now))

    async def copies_due(self, limit: int) -> list[Copy]:
        """List the messages that are to lose their result now, the oldest first."""
        now = self._db.now_ms()
        return await self._db.read(lambda db: stale_messages.due(db, now, limit))

    async def next_copy_at(self) -> datetime | None:
        """Tell when the next message is to lose its result."""
        rows = await self._rows("SELECT min(next_try_ms) FROM copies WHERE next_try_ms IS NOT NULL")
        return None if rows[0][0] is None else time_of(rows[0][0])

    async def copy_ended(self, copy: Copy) -> None:
        """It shows nothing any more, or nobody can change it."""
        await self._change("DELETE FROM copies WHERE id = ?", copy.id)

    async def copy_retry(self, copy: Copy, at: datetime) -> None:
        """Try it again then."""
        sql = "UPDATE copies SET tries = tries + 1, next_try_ms = ? WHERE id = ?"
        await self._change(sql, ms(at), copy.id)

    async def unnamed(self, folder: str, names: Sequence[str]) -> list[str]:
        """Give those of a folder's files that no row names: `loras` or `pictures`, a few at a time."""
        asked = _IS_NAMED[folder]

        def work(db: sqlite3.Connection) -> list[str]:
            return [name for name in names if not db.execute(asked, {"file": name}).fetchone()[0]]

        return await self._db.read(work)

    # --- drafts ------------------------------------------------------------------------------------------

    async def keep_draft(self, draft: Draft) -> None:
        """Keep what a person is putting together, over an earlier one.

        It waits for the next plain message, which answers no earlier question then.
        """
        place, wish = draft.place, msgspec.json.encode(draft.wish).decode()
        values = (draft.account, draft.code, wish, str(place.platform), place.chat_id, place.user_id)
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, now))
            unasked = "DELETE FROM questions WHERE account = ? AND platform = ?"
            db.execute(unasked, (draft.account, str(place.platform)))

        await self._db.write(work)

    async def draft_of(self, account: AccountId) -> Draft | None:
        """Give what a person is putting together, unless they left it."""
        sql = "SELECT * FROM drafts WHERE account = ? AND updated_ms > ?"
        rows = await self._rows(sql, account, self._db.now_ms() - DRAFT_MS)
        return draft_of(rows[0]) if rows else None

    async def drop_draft(self, account: AccountId) -> None:
        """Forget what a person was putting together."""
        await self._change("DELETE FROM drafts WHERE account = ?", account)

    async def forget_drafts(self, now: datetime) -> None:
        """Delete the drafts that were left."""
        await self._change("DELETE FROM drafts WHERE updated_ms <= ?", ms(now) - DRAFT_MS)

    # --- inside ------------------------------------------------------------------------------------------

    async def _fenced(
        self, job_id: JobId, attempt: int, work: Callable[[sqlite3.Connection], object]
    ) -> bool:
        def fenced(db: sqlite3.Connection) -> bool:
            current = jobs.is_current(db, job_id, attempt)
            if current:
                work(db)
            return current

        return await self._db.write(fenced)

    async def _change(self, sql: str, *values: object) -> None:
        await self._db.write(lambda db: db.execute(sql, values))

    async def _jobs(self, sql: str, *values: object) -> list[Job]:
        return [job_of(row) for row in await self._rows(sql, *values)]

    async def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return await self._db.read(lambda db: db.execute(sql, values).fetchall())


def _queued(
    db: sqlite3.Connection, whose: tuple[AccountId, LoraCode], wish: GenerateWish, place: Place, now_ms: int
) -> Job:
    code = whose[1]
    if db.execute("SELECT 1 FROM loras WHERE code = ?", (code,)).fetchone() is None:
        raise ShareEnded(code)  # it was deleted since somebody looked
    job = photos.add_job(db, whose, wish, place, now_ms)
    sharing.spend(db, job, (code, *wish.codes))
    return job


def named_in(db: sqlite3.Connection) -> Named:
    """List the files that rows name."""
    loras = db.execute("SELECT file FROM loras WHERE file IS NOT NULL")
    pictures = db.execute(
        "SELECT file FROM pictures WHERE deleted_ms IS NULL"
        " UNION SELECT each.value FROM notices, json_each(notices.files) AS each"
        " WHERE notices.kind = 'train_done'"
    )
    return Named(frozenset(row[0] for row in loras), frozenset(row[0] for row in pictures))
