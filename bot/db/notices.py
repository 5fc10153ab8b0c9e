"""Notices: what people are to hear of their jobs, owed until their platform has taken it."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from bot.core.outbox import Notice, NoticeId
from bot.db.attempts import JobRepository
from bot.db.rows import MAX_RETRY_DELAY_MS, from_ms, job_from_row, notice_from_row, to_ms


class OutboxRepository(JobRepository):
    """What jobs owe to people, and what became of it."""

    async def list_due_notices(self, limit: int) -> list[Notice]:
        """List the notices that are due, the oldest first."""
        now_ms = self._connection.now_ms()

        def query(connection: sqlite3.Connection) -> list[Notice]:
            rows = connection.execute(
                "SELECT * FROM notices WHERE state = 'owed' AND (next_try_ms <= ? OR next_try_ms > ?)"
                " ORDER BY next_try_ms, id LIMIT ?",
                (now_ms, now_ms + MAX_RETRY_DELAY_MS, limit),
            ).fetchall()
            job_sql = "SELECT * FROM jobs WHERE id = ?"
            return [
                notice_from_row(row, job_from_row(connection.execute(job_sql, (row["job"],)).fetchone()))
                for row in rows
            ]

        return await self._connection.read(query)

    async def next_notice_at(self) -> datetime | None:
        """Tell when the next notice is due."""
        rows = await self._fetch_rows(
            "SELECT next_try_ms FROM notices WHERE state = 'owed' ORDER BY next_try_ms LIMIT 1"
        )
        return from_ms(rows[0]["next_try_ms"]) if rows else None

    async def mark_notice_sent(self, notice_id: NoticeId, message_id: str) -> None:
        """The platform has taken it."""
        await self._execute(
            "UPDATE notices SET state = 'sent', message_id = ? WHERE id = ?", message_id, notice_id
        )

    async def schedule_notice_retry(self, notice_id: NoticeId, at: datetime) -> None:
        """Try it again then, and not before it what its job owes besides."""
        sql = (
            "UPDATE notices SET tries = tries + (id = :id),"
            " next_try_ms = iif(id = :id, :at, max(next_try_ms, :at))"
            " WHERE job = (SELECT job FROM notices WHERE id = :id) AND id >= :id AND state = 'owed'"
        )
        await self._connection.write(
            lambda connection: connection.execute(sql, {"id": notice_id, "at": to_ms(at)})
        )

    async def mark_notice_undeliverable(self, notice_id: NoticeId) -> None:
        """Nobody is there to take it."""
        await self._execute("UPDATE notices SET state = 'undeliverable' WHERE id = ?", notice_id)
