"""Messages that are to be delivered, and updates of Telegram that are to be processed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import Job
from bot.core.outbox import DirectMessage, IncomingUpdate, Notice, NoticeId, NoticeKind, StaleMessage
from bot.db.sqlite.connection import HOUR_MS, Connection, from_ms, to_ms
from bot.db.statements import messages, queue, shares

log = logging.getLogger(__name__)


#: Nothing is put off for longer; what seems to be was so before the clock was set back, and is due.
MAX_RETRY_DELAY_MS = 6 * HOUR_MS
#: An update that the bot died with so often is given up: it may be what kills it.
MAX_UPDATE_TRIES = 10

_DUE_NOTICES_SQL = """
SELECT * FROM notices WHERE state = 'owed' AND (next_try_ms <= :now OR next_try_ms > :latest)
    AND (:platform IS NULL OR EXISTS
        (SELECT 1 FROM jobs WHERE jobs.id = notices.job AND jobs.platform = :platform))
ORDER BY next_try_ms, id LIMIT :limit
"""
_NEXT_NOTICE_SQL = """
SELECT next_try_ms FROM notices WHERE state = 'owed'
    AND (:platform IS NULL OR EXISTS
        (SELECT 1 FROM jobs WHERE jobs.id = notices.job AND jobs.platform = :platform))
ORDER BY next_try_ms LIMIT 1
"""


class OutboxRepository:
    """Notices, direct messages and stale messages until they are delivered, updates until processed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list_due_notices(self, limit: int, platform: Platform | None = None) -> list[Notice]:
        """Return up to `limit` notices that are due, the oldest first, of one platform or of all."""
        now_ms = self._connection.now_ms()
        values = {
            "platform": platform,
            "now": now_ms,
            "latest": now_ms + MAX_RETRY_DELAY_MS,
            "limit": limit,
        }

        def query(connection: sqlite3.Connection) -> list[Notice]:
            job_sql = "SELECT * FROM jobs WHERE id = ?"
            return [
                notice_from_row(
                    row, queue.job_from_row(connection.execute(job_sql, (row["job"],)).fetchone())
                )
                for row in connection.execute(_DUE_NOTICES_SQL, values).fetchall()
            ]

        return await self._connection.read(query)

    async def next_notice_at(self, platform: Platform | None = None) -> datetime | None:
        """Return when the next notice is due, on one platform or on any; None when none is owed."""
        row = await self._connection.read(
            lambda connection: connection.execute(_NEXT_NOTICE_SQL, {"platform": platform}).fetchone()
        )
        return None if row is None else from_ms(row["next_try_ms"])

    async def mark_notice_sent(self, notice_id: NoticeId, message_id: str) -> None:
        """Mark a notice as delivered in a message."""
        await self._connection.execute(
            "UPDATE notices SET state = 'sent', message_id = ? WHERE id = ?", message_id, notice_id
        )

    async def schedule_notice_retry(self, notice_id: NoticeId, at: datetime) -> None:
        """Retry a notice at a time. Later notices of its job wait for it."""
        sql = (
            "UPDATE notices SET tries = tries + (id = :id),"
            " next_try_ms = iif(id = :id, :at, max(next_try_ms, :at))"
            " WHERE job = (SELECT job FROM notices WHERE id = :id) AND id >= :id AND state = 'owed'"
        )
        await self._connection.write(
            lambda connection: connection.execute(sql, {"id": notice_id, "at": to_ms(at)})
        )

    async def mark_notice_undeliverable(self, notice_id: NoticeId) -> None:
        """Mark a notice as undeliverable: its recipient cannot be reached."""
        await self._connection.execute("UPDATE notices SET state = 'undeliverable' WHERE id = ?", notice_id)

    async def add_direct_messages(self, recipients: Sequence[Identity], text: str) -> None:
        """Queue a direct message to people."""
        now_ms = self._connection.now_ms()
        await self._connection.write(
            lambda connection: messages.insert_direct_messages(
                connection,
                [(str(identity.platform), identity.user_id) for identity in recipients],
                text,
                now_ms,
            )
        )

    async def add_broadcast(self, text: str, idempotency_key: str = "") -> int:
        """Queue a direct message to everybody who is not banned, and return how many they are.

        A repeated request continues where the earlier one stopped.
        """
        now_ms = self._connection.now_ms()
        broadcast_id = await self._connection.write(
            lambda connection: messages.get_or_create_broadcast(
                connection, text, idempotency_key=idempotency_key, now_ms=now_ms
            )
        )
        return await self._run_broadcast(broadcast_id)

    async def resume_broadcasts(self) -> None:
        """Continue the broadcasts that an earlier run did not finish."""
        for row in await self._connection.fetch_rows(
            "SELECT id FROM broadcasts WHERE NOT is_done ORDER BY id"
        ):
            await self._run_broadcast(row["id"])

    async def get_due_direct_message(self, platform: Platform) -> DirectMessage | None:
        """Return the oldest direct message that is due on a platform, None where none is."""
        now_ms = self._connection.now_ms()

        def query(connection: sqlite3.Connection) -> DirectMessage | None:
            row = connection.execute(
                "SELECT * FROM letters WHERE platform = ? AND (next_try_ms <= ? OR next_try_ms > ?)"
                " ORDER BY next_try_ms, id LIMIT 1",
                (str(platform), now_ms, now_ms + MAX_RETRY_DELAY_MS),
            ).fetchone()
            if row is None:
                return None
            share = connection.execute("SELECT * FROM shares WHERE number = ?", (row["share"],)).fetchone()
            return messages.direct_message_from_row(
                row, None if share is None else shares.share_from_row(share)
            )

        return await self._connection.read(query)

    async def next_direct_message_at(self, platform: Platform) -> datetime | None:
        """Return when the next direct message on a platform is due, None where there is none."""
        sql = "SELECT next_try_ms FROM letters WHERE platform = ? ORDER BY next_try_ms, id LIMIT 1"
        rows = await self._connection.fetch_rows(sql, str(platform))
        return from_ms(rows[0][0]) if rows else None

    async def delete_direct_message(self, message: DirectMessage) -> None:
        """Delete a direct message that was delivered, or cannot be."""
        await self._connection.execute("DELETE FROM letters WHERE id = ?", message.id)

    async def schedule_direct_message_retry(self, message: DirectMessage, at: datetime) -> None:
        """Retry a direct message at a time."""
        await self._connection.execute(
            "UPDATE letters SET tries = tries + 1, next_try_ms = ? WHERE id = ?", to_ms(at), message.id
        )

    async def list_due_stale_messages(
        self, limit: int, platform: Platform | None = None
    ) -> list[StaleMessage]:
        """Return up to `limit` messages whose deleted result is to be removed now, the oldest first."""
        now_ms = self._connection.now_ms()
        return await self._connection.read(
            lambda connection: list_due_stale_messages(connection, now_ms, limit, platform)
        )

    async def next_stale_message_at(self, platform: Platform | None = None) -> datetime | None:
        """Return when the next message is to lose its result; None when there is none."""
        rows = await self._connection.fetch_rows(
            "SELECT min(next_try_ms) FROM copies WHERE next_try_ms IS NOT NULL"
            " AND platform = coalesce(?, platform)",
            platform,
        )
        return None if rows[0][0] is None else from_ms(rows[0][0])

    async def delete_stale_message(self, message: StaleMessage) -> None:
        """Delete a stale message: its result was removed, or cannot be."""
        await self._connection.execute("DELETE FROM copies WHERE id = ?", message.id)

    async def schedule_stale_message_retry(self, message: StaleMessage, at: datetime) -> None:
        """Retry a stale message at a time."""
        sql = "UPDATE copies SET tries = tries + 1, next_try_ms = ? WHERE id = ?"
        await self._connection.execute(sql, to_ms(at), message.id)

    async def count_undelivered(self) -> int:
        """Count the notices and direct messages that are not delivered yet."""
        rows = await self._connection.fetch_rows(
            "SELECT (SELECT count(*) FROM notices WHERE state = 'owed') + (SELECT count(*) FROM letters)"
        )
        return int(rows[0][0])

    async def store_updates(self, updates: Sequence[IncomingUpdate]) -> set[int]:
        """Save updates of Telegram. Return the ids of those that are new."""
        now_ms = self._connection.now_ms()

        def transaction(connection: sqlite3.Connection) -> set[int]:
            sql = (
                "INSERT INTO updates (id, user_id, body, came_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            )
            return {
                each.id
                for each in updates
                if connection.execute(sql, (each.id, each.user_id, each.body, now_ms)).rowcount
            }

        return await self._connection.write(transaction)

    async def list_pending_updates(self) -> list[IncomingUpdate]:
        """Return the updates that an earlier run did not finish, in their order."""

        def transaction(connection: sqlite3.Connection) -> list[IncomingUpdate]:
            connection.execute("UPDATE updates SET tries = tries + 1 WHERE body IS NOT NULL")
            discarded_count = connection.execute(
                "UPDATE updates SET body = NULL, user_id = '' WHERE body IS NOT NULL AND tries > ?",
                (MAX_UPDATE_TRIES,),
            ).rowcount
            if discarded_count:
                log.error(
                    "%d updates are given up: the bot died %d times with them",
                    discarded_count,
                    MAX_UPDATE_TRIES,
                )
            rows = connection.execute(
                "SELECT id, user_id, body FROM updates WHERE body IS NOT NULL ORDER BY id"
            )
            return [IncomingUpdate(row["id"], row["user_id"], row["body"]) for row in rows]

        return await self._connection.write(transaction)

    async def mark_update_processed(self, update_id: int) -> None:
        """Delete the content of a processed update; its id stays, so that it is known again."""
        await self._connection.execute("UPDATE updates SET body = NULL, user_id = '' WHERE id = ?", update_id)

    async def delete_updates_before(self, before: datetime) -> None:
        """Delete the ids of updates older than a time: Telegram sends none that old again."""
        await self._connection.execute("DELETE FROM updates WHERE came_ms < ?", to_ms(before))

    async def _run_broadcast(self, broadcast_id: int) -> int:
        while (
            recipient_count := await self._connection.write(
                lambda connection: messages._insert_broadcast_batch(connection, broadcast_id)
            )
        ) is None:
            pass  # others have their turn between two transactions
        return recipient_count


def notice_from_row(row: sqlite3.Row, job: Job) -> Notice:
    """Read a row of `notices`."""
    return Notice(
        id=NoticeId(row["id"]),
        kind=NoticeKind(row["kind"]),
        job=job,
        files=tuple(msgspec.json.decode(row["files"], type=list[str])),
        tries=row["tries"],
        next_try_at=from_ms(row["next_try_ms"]),
    )


def list_due_stale_messages(
    connection: sqlite3.Connection, now_ms: int, limit: int, platform: Platform | None
) -> list[StaleMessage]:
    """Return up to `limit` messages whose deleted result is to be removed now, the oldest first."""
    rows = connection.execute(
        "SELECT * FROM copies WHERE next_try_ms IS NOT NULL AND (next_try_ms <= ? OR next_try_ms > ?)"
        " AND platform = coalesce(?, platform) ORDER BY next_try_ms, id LIMIT ?",
        (now_ms, now_ms + MAX_RETRY_DELAY_MS, platform, limit),
    ).fetchall()
    return [_stale_message_from_row(connection, row) for row in rows]


def _stale_message_from_row(connection: sqlite3.Connection, row: sqlite3.Row) -> StaleMessage:
    job = queue.job_from_row(connection.execute("SELECT * FROM jobs WHERE id = ?", (row["job"],)).fetchone())
    address = ChatAddress(Platform(row["platform"]), row["chat_id"], row["user_id"])
    return StaleMessage(row["id"], job, address, row["message_id"], row["tries"])
