"""What Telegram handed over, until it was worked off: the ledger's fifth part."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.jobs import Job
from bot.core.messages import current_request
from bot.core.outbox import IncomingUpdate
from bot.db.monitoring import MonitoringRepository
from bot.db.rows import to_ms

log = logging.getLogger(__name__)

#: An update that the bot died with so often is given up: it may be what kills it.
MAX_UPDATE_TRIES = 10


class UpdateRepository(MonitoringRepository):
    """Updates by Telegram's numbers. Of those that were worked off the bare number stays for a while."""

    async def store_updates(self, updates: Sequence[IncomingUpdate]) -> set[int]:
        """Keep updates; gives the numbers of those that were not handed over before."""
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
        """List, in their order, the updates that an earlier run was not done with."""

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
        """Forget what an update said."""
        await self._execute("UPDATE updates SET body = NULL, user_id = '' WHERE id = ?", update_id)

    async def delete_updates_before(self, before: datetime) -> None:
        """Forget even the numbers of older ones: Telegram keeps none that long."""
        await self._execute("DELETE FROM updates WHERE came_ms < ?", to_ms(before))

    async def find_by_current_request(self) -> Job | None:
        """Give the job that what is just being carried out has begun before."""
        idempotency_key = current_request().idempotency_key
        jobs = (
            await self._fetch_jobs(
                "SELECT * FROM jobs WHERE asked_by = ? ORDER BY id LIMIT 1", idempotency_key
            )
            if idempotency_key
            else []
        )
        return jobs[0] if jobs else None
