"""Generations, the pictures they leave, and drafts of them: the ledger's second half."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from bot.core.accounts import AccountId, ChatAddress
from bot.core.errors import ShareEnded
from bot.core.jobs import Draft, GenerationParams, Job, JobId, Picture
from bot.core.likeness import PictureSelection
from bot.core.loras import LoraCode
from bot.core.outbox import NoticeKind, StaleMessage
from bot.db import jobs, photos, sharing, stale_messages
from bot.db.connection import Connection
from bot.db.rows import ReferencedFiles, draft_from_row, from_ms, job_from_row, picture_from_row, to_ms

#: A draft that nobody touched for so long is forgotten: a later message was not meant for it.
DRAFT_TIMEOUT_MS = 3_600_000
# A file's name begins with what it belongs to, so that nothing has to be searched.
_IS_REFERENCED_SQL = {
    "loras": "SELECT EXISTS (SELECT 1 FROM loras WHERE code = substr(:file, 1, 8) AND file = :file)",
    "pictures": """
        SELECT EXISTS (SELECT 1 FROM pictures WHERE job = CAST(:file AS INTEGER) AND file = :file
            AND deleted_ms IS NULL)
        OR EXISTS (SELECT 1 FROM notices, json_each(notices.files) AS each
            WHERE notices.job = CAST(:file AS INTEGER) AND kind = 'train_done' AND each.value = :file)
    """,
}


class ResultRepository:
    """What is asked for and what came of it, by job."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add_generation(
        self, account: AccountId, code: LoraCode, params: GenerationParams, address: ChatAddress
    ) -> Job:
        """Queue a generation; ShareEnded when a Lora in it is not, or no longer, theirs to draw with."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: _insert_generation(connection, (account, code), params, address, now_ms)
        )

    async def submit_draft(self, draft: Draft, params: GenerationParams, address: ChatAddress) -> Job | None:
        """Queue what a draft has become and drop it; None when it is no longer there. ShareEnded likewise."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            if not connection.execute("DELETE FROM drafts WHERE account = ?", (draft.account,)).rowcount:
                return None
            return _insert_generation(connection, (draft.account, draft.code), params, address, now_ms)

        return await self._connection.write(transaction)

    async def finish_generation(
        self,
        job_id: JobId,
        attempt: int,
        files: Sequence[str],
        recipes: Sequence[str] = (),
        selection: tuple[PictureSelection, GenerationParams] | None = None,
    ) -> bool:
        """Job done, its pictures kept, notice with them owed. Fenced: False for an older attempt.

        `picked` is why it is this one of several, and the wish that draws it.
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
            job = jobs.end_job(connection, job_id, "done", None, now_ms)
            jobs.insert_pictures(connection, job_id, list(zip(files, recipes, strict=True)))
            jobs.insert_notice(connection, job, NoticeKind.GENERATE_DONE, now_ms, files)

        return await self._write_if_current(job_id, attempt, transaction)

    async def list_pictures(self, job_id: JobId) -> list[Picture]:
        """List the pictures of a result, deleted ones too."""
        rows = await self._fetch_rows("SELECT * FROM pictures WHERE job = ? ORDER BY number", job_id)
        return [picture_from_row(row) for row in rows]

    async def delete_result(self, job_id: JobId) -> list[Picture]:
        """Blank a result's words and mark its pictures; gives those whose files are to be deleted now.

        How many were drawn still counts. Messages that show it are to lose it from then on.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> list[Picture]:
            rows = connection.execute(
                "SELECT * FROM pictures WHERE job = ? ORDER BY number", (job_id,)
            ).fetchall()
            connection.execute(
                "UPDATE pictures SET deleted_ms = coalesce(deleted_ms, ?), recipe = '' WHERE job = ?",
                (now_ms, job_id),
            )
            blank_params = msgspec.json.encode(GenerationParams("")).decode()
            connection.execute(
                "UPDATE jobs SET wish = json_set(?, '$.count', coalesce(json_extract(wish, '$.count'), 1))"
                " WHERE id = ? AND kind = 'generate'",
                (blank_params, job_id),
            )
            stale_messages.mark_stale(connection, job_id, now_ms)
            return [picture_from_row(row) for row in rows]

        return await self._connection.write(transaction)

    # --- messages that show a result -----------------------------------------------------------------------

    async def save_card_message(self, job_id: JobId, message_id: str) -> None:
        """Remember which message shows a job's progress."""
        now_ms = self._connection.now_ms()
        await self._connection.write(
            lambda connection: stale_messages.save_card_message(connection, job_id, message_id, now_ms)
        )

    async def add_result_message(self, job_id: JobId, address: ChatAddress, message_id: str) -> bool:
        """Remember a further message that shows a result; True when the result was deleted meanwhile."""
        now_ms = self._connection.now_ms()
        return await self._connection.write(
            lambda connection: stale_messages.add_result_message(
                connection, job_id, address, message_id, now_ms
            )
        )

    async def list_due_stale_messages(self, limit: int) -> list[StaleMessage]:
        """List the messages that are to lose their result now, the oldest first."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: stale_messages.list_due_stale_messages(connection, now_ms, limit)
        )

    async def next_stale_message_at(self) -> datetime | None:
        """Tell when the next message is to lose its result."""
        rows = await self._fetch_rows("SELECT min(next_try_ms) FROM copies WHERE next_try_ms IS NOT NULL")
        return None if rows[0][0] is None else from_ms(rows[0][0])

    async def delete_stale_message(self, message: StaleMessage) -> None:
        """It shows nothing any more, or nobody can change it."""
        await self._execute("DELETE FROM copies WHERE id = ?", message.id)

    async def schedule_stale_message_retry(self, message: StaleMessage, at: datetime) -> None:
        """Try it again then."""
        sql = "UPDATE copies SET tries = tries + 1, next_try_ms = ? WHERE id = ?"
        await self._execute(sql, to_ms(at), message.id)

    async def list_unreferenced_files(self, folder: str, names: Sequence[str]) -> list[str]:
        """Give those of a folder's files that no row names: `loras` or `pictures`, a few at a time."""
        sql = _IS_REFERENCED_SQL[folder]

        def query(connection: sqlite3.Connection) -> list[str]:
            return [name for name in names if not connection.execute(sql, {"file": name}).fetchone()[0]]

        return await self._connection.read(query)

    # --- drafts ------------------------------------------------------------------------------------------

    async def save_draft(self, draft: Draft) -> None:
        """Keep what a person is putting together, over an earlier one.

        It waits for the next plain message, which answers no earlier question then.
        """
        address, params_json = draft.address, msgspec.json.encode(draft.params).decode()
        values = (
            draft.account,
            draft.code,
            params_json,
            str(address.platform),
            address.chat_id,
            address.user_id,
        )
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, now_ms)
            )
            sql = "DELETE FROM questions WHERE account = ? AND platform = ?"
            connection.execute(sql, (draft.account, str(address.platform)))

        await self._connection.write(transaction)

    async def get_draft(self, account: AccountId) -> Draft | None:
        """Give what a person is putting together, unless they left it."""
        sql = "SELECT * FROM drafts WHERE account = ? AND updated_ms > ?"
        rows = await self._fetch_rows(sql, account, self._connection.now_ms() - DRAFT_TIMEOUT_MS)
        return draft_from_row(rows[0]) if rows else None

    async def delete_draft(self, account: AccountId) -> None:
        """Forget what a person was putting together."""
        await self._execute("DELETE FROM drafts WHERE account = ?", account)

    async def delete_expired_drafts(self, now: datetime) -> None:
        """Delete the drafts that were left."""
        await self._execute("DELETE FROM drafts WHERE updated_ms <= ?", to_ms(now) - DRAFT_TIMEOUT_MS)

    # --- inside ------------------------------------------------------------------------------------------

    async def _write_if_current(
        self, job_id: JobId, attempt: int, body: Callable[[sqlite3.Connection], object]
    ) -> bool:
        def transaction(connection: sqlite3.Connection) -> bool:
            is_current = jobs.is_current_attempt(connection, job_id, attempt)
            if is_current:
                body(connection)
            return is_current

        return await self._connection.write(transaction)

    async def _execute(self, sql: str, *values: object) -> None:
        await self._connection.write(lambda connection: connection.execute(sql, values))

    async def _fetch_jobs(self, sql: str, *values: object) -> list[Job]:
        return [job_from_row(row) for row in await self._fetch_rows(sql, *values)]

    async def _fetch_rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return await self._connection.read(lambda connection: connection.execute(sql, values).fetchall())


def _insert_generation(
    connection: sqlite3.Connection,
    owner_and_code: tuple[AccountId, LoraCode],
    params: GenerationParams,
    address: ChatAddress,
    now_ms: int,
) -> Job:
    code = owner_and_code[1]
    if connection.execute("SELECT 1 FROM loras WHERE code = ?", (code,)).fetchone() is None:
        raise ShareEnded(code)  # it was deleted since somebody looked
    job = photos.insert_job(connection, owner_and_code, params, address, now_ms)
    sharing.consume_shares(connection, job, (code, *params.codes))
    return job


def query_referenced_files(connection: sqlite3.Connection) -> ReferencedFiles:
    """List the files that rows name."""
    loras = connection.execute("SELECT file FROM loras WHERE file IS NOT NULL")
    pictures = connection.execute(
        "SELECT file FROM pictures WHERE deleted_ms IS NULL"
        " UNION SELECT each.value FROM notices, json_each(notices.files) AS each"
        " WHERE notices.kind = 'train_done'"
    )
    return ReferencedFiles(frozenset(row[0] for row in loras), frozenset(row[0] for row in pictures))
