"""Pictures that jobs leave, the messages that show them, and drafts of generations."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from bot.core.accounts import AccountId, ChatAddress
from bot.core.jobs import Draft, GenerationParams, Job, JobId, Picture
from bot.core.loras import LoraCode
from bot.db.sqlite.connection import Connection, to_ms
from bot.db.statements import conversation, queue, stale_messages

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


@dataclass(frozen=True, slots=True)
class ReferencedFiles:
    """The files that rows refer to; other files beside them have no owner."""

    loras: frozenset[str]
    pictures: frozenset[str]


class ResultRepository:
    """Pictures and messages by their job, drafts by their account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list_pictures(self, job_id: JobId) -> list[Picture]:
        """Return the pictures of a job, deleted ones too."""
        rows = await self._connection.fetch_rows(
            "SELECT * FROM pictures WHERE job = ? ORDER BY number", job_id
        )
        return [picture_from_row(row) for row in rows]

    async def list_training_pictures(self, code: LoraCode) -> list[Picture]:
        """Return the pictures of a Lora's last training: its strip, then those that chose the Lora."""
        rows = await self._connection.fetch_rows(
            "SELECT * FROM pictures WHERE job = (SELECT max(id) FROM jobs WHERE code = ? AND kind = 'train'"
            " AND status = 'done') ORDER BY number",
            code,
        )
        return [picture_from_row(row) for row in rows]

    async def delete_result(self, job_id: JobId) -> list[Picture]:
        """Blank the prompt of a result and mark its pictures as deleted. Return them: their files are to go.

        Their number still counts. Messages that show the result become stale.
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

    async def save_card_message(self, job_id: JobId, message_id: str) -> None:
        """Save which message shows the progress of a job."""
        now_ms = self._connection.now_ms()
        await self._connection.write(
            lambda connection: stale_messages.save_card_message(connection, job_id, message_id, now_ms)
        )

    async def find_by_message(
        self, account: AccountId, address: ChatAddress, message_id: str
    ) -> JobId | None:
        """Return the generation of an account that a message in a chat shows, None where it shows none."""
        return await self._connection.read(
            lambda connection: stale_messages.find_by_message(connection, account, address, message_id)
        )

    async def add_result_message(
        self, job_id: JobId, address: ChatAddress, message_id: str, expires_at: datetime | None = None
    ) -> bool:
        """Save a further message that shows a result. Return True where the result was deleted meanwhile.

        `expires_at` is when the message can no longer be edited, None for never.
        """
        now_ms = self._connection.now_ms()
        expires_ms = None if expires_at is None else to_ms(expires_at)
        return await self._connection.write(
            lambda connection: stale_messages.add_result_message(
                connection, job_id, address, message_id, now_ms, expires_ms
            )
        )

    async def delete_expired_messages(self) -> None:
        """Forget messages that show a result and can no longer be edited."""
        now_ms = self._connection.now_ms()
        await self._connection.write(lambda connection: stale_messages.delete_expired(connection, now_ms))

    async def list_unreferenced_files(self, folder: str, names: Sequence[str]) -> list[str]:
        """Return which files of a folder, `loras` or `pictures`, no row refers to. Pass a few at a time."""
        sql = _IS_REFERENCED_SQL[folder]

        def query(connection: sqlite3.Connection) -> list[str]:
            return [name for name in names if not connection.execute(sql, {"file": name}).fetchone()[0]]

        return await self._connection.read(query)

    async def save_draft(self, draft: Draft) -> None:
        """Save the generation that a person is composing; it replaces an earlier one.

        The next plain message completes it, so an earlier question is deleted.
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
                "INSERT INTO drafts (account, code, wish, platform, chat_id, user_id, updated_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET"
                " message_ids = iif(platform = excluded.platform AND chat_id = excluded.chat_id,"
                " message_ids, ''), code = excluded.code, wish = excluded.wish,"
                " platform = excluded.platform, chat_id = excluded.chat_id, user_id = excluded.user_id,"
                " updated_ms = excluded.updated_ms",
                (*values, now_ms),
            )
            sql = "DELETE FROM questions WHERE account = ? AND platform = ?"
            connection.execute(sql, (draft.account, str(address.platform)))

        await self._connection.write(transaction)

    async def get_draft(self, account: AccountId) -> Draft | None:
        """Return the generation that an account is composing, None if there is none or it timed out."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: conversation.get_draft(connection, account, now_ms)
        )

    async def submit_draft(
        self, draft: Draft, params: GenerationParams, address: ChatAddress, idempotency_key: str = ""
    ) -> Job | None:
        """Queue the generation of a draft and delete the draft. Return None where the draft is gone.

        Raise ShareEnded where the account may not use one of its Loras.
        """
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> Job | None:
            if not connection.execute("DELETE FROM drafts WHERE account = ?", (draft.account,)).rowcount:
                return None
            return queue.insert_generation(
                connection,
                account=draft.account,
                code=draft.code,
                params=params,
                address=address,
                idempotency_key=idempotency_key,
                now_ms=now_ms,
            )

        return await self._connection.write(transaction)

    async def delete_draft(self, account: AccountId) -> None:
        """Delete the draft of an account."""
        await self._connection.execute("DELETE FROM drafts WHERE account = ?", account)

    async def delete_expired_drafts(self, now: datetime) -> None:
        """Delete the drafts that have timed out."""
        await self._connection.execute(
            "DELETE FROM drafts WHERE updated_ms <= ?", to_ms(now) - conversation.DRAFT_TIMEOUT_MS
        )


def picture_from_row(row: sqlite3.Row) -> Picture:
    """Read a row of `pictures`."""
    is_deleted = row["deleted_ms"] is not None
    return Picture(JobId(row["job"]), row["number"], row["file"], row["recipe"], is_deleted)


def query_referenced_files(connection: sqlite3.Connection) -> ReferencedFiles:
    """Return the files that rows refer to."""
    loras = connection.execute("SELECT file FROM loras WHERE file IS NOT NULL")
    pictures = connection.execute(
        "SELECT file FROM pictures WHERE deleted_ms IS NULL"
        " UNION SELECT each.value FROM notices, json_each(notices.files) AS each"
        " WHERE notices.kind = 'train_done'"
    )
    return ReferencedFiles(frozenset(row[0] for row in loras), frozenset(row[0] for row in pictures))
