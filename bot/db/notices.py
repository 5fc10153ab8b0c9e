"""Notices: what people are to hear of their jobs, owed until their platform has taken it."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from bot.core.outbox import Notice, NoticeId
from bot.db.attempts import Attempts
from bot.db.rows import MAX_WAIT_MS, job_of, ms, notice_of, time_of


class Notices(Attempts):
    """What jobs owe to people, and what became of it."""

    async def owed(self, limit: int) -> list[Notice]:
        """List the notices that are due, the oldest first."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> list[Notice]:
            rows = db.execute(
                "SELECT * FROM notices WHERE state = 'owed' AND (next_try_ms <= ? OR next_try_ms > ?)"
                " ORDER BY next_try_ms, id LIMIT ?",
                (now, now + MAX_WAIT_MS, limit),
            ).fetchall()
            job = "SELECT * FROM jobs WHERE id = ?"
            return [notice_of(row, job_of(db.execute(job, (row["job"],)).fetchone())) for row in rows]

        return await self._db.read(work)

    async def next_notice_at(self) -> datetime | None:
        """Tell when the next notice is due."""
        rows = await self._rows(
            "SELECT next_try_ms FROM notices WHERE state = 'owed' ORDER BY next_try_ms LIMIT 1"
        )
        return time_of(rows[0]["next_try_ms"]) if rows else None

    async def notice_sent(self, notice_id: NoticeId, message_id: str) -> None:
        """The platform has taken it."""
        await self._change(
            "UPDATE notices SET state = 'sent', message_id = ? WHERE id = ?", message_id, notice_id
        )

    async def notice_retry(self, notice_id: NoticeId, at: datetime) -> None:
        """Try it again then, and not before it what its job owes besides."""
        sql = (
            "UPDATE notices SET tries = tries + (id = :id),"
            " next_try_ms = iif(id = :id, :at, max(next_try_ms, :at))"
            " WHERE job = (SELECT job FROM notices WHERE id = :id) AND id >= :id AND state = 'owed'"
        )
        await self._db.write(lambda db: db.execute(sql, {"id": notice_id, "at": ms(at)}))

    async def notice_undeliverable(self, notice_id: NoticeId) -> None:
        """Nobody is there to take it."""
        await self._change("UPDATE notices SET state = 'undeliverable' WHERE id = ?", notice_id)
