"""What Telegram handed over, until it was worked off: the ledger's fifth part."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bot.core.jobs import Job
from bot.core.messages import asking
from bot.core.outbox import Handed
from bot.db.monitoring import Administration
from bot.db.rows import ms

log = logging.getLogger(__name__)

#: An update that the bot died with so often is given up: it may be what kills it.
MAX_TRIES = 10


class Updates(Administration):
    """Updates by Telegram's numbers. Of those that were worked off the bare number stays for a while."""

    async def take_in(self, updates: Sequence[Handed]) -> set[int]:
        """Keep updates; gives the numbers of those that were not handed over before."""
        now = self._db.now_ms()

        def work(db: sqlite3.Connection) -> set[int]:
            sql = (
                "INSERT INTO updates (id, user_id, body, came_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            )
            return {
                each.id
                for each in updates
                if db.execute(sql, (each.id, each.user_id, each.body, now)).rowcount
            }

        return await self._db.write(work)

    async def left_over(self) -> list[Handed]:
        """List, in their order, the updates that an earlier run was not done with."""

        def work(db: sqlite3.Connection) -> list[Handed]:
            db.execute("UPDATE updates SET tries = tries + 1 WHERE body IS NOT NULL")
            given_up = db.execute(
                "UPDATE updates SET body = NULL, user_id = '' WHERE body IS NOT NULL AND tries > ?",
                (MAX_TRIES,),
            ).rowcount
            if given_up:
                log.error("%d updates are given up: the bot died %d times with them", given_up, MAX_TRIES)
            rows = db.execute("SELECT id, user_id, body FROM updates WHERE body IS NOT NULL ORDER BY id")
            return [Handed(row["id"], row["user_id"], row["body"]) for row in rows]

        return await self._db.write(work)

    async def worked_off(self, update_id: int) -> None:
        """Forget what an update said."""
        await self._change("UPDATE updates SET body = NULL, user_id = '' WHERE id = ?", update_id)

    async def forget_updates_before(self, before: datetime) -> None:
        """Forget even the numbers of older ones: Telegram keeps none that long."""
        await self._change("DELETE FROM updates WHERE came_ms < ?", ms(before))

    async def job_asked_for(self) -> Job | None:
        """Give the job that what is just being carried out has begun before."""
        by = asking().by
        jobs = await self._jobs("SELECT * FROM jobs WHERE asked_by = ? ORDER BY id LIMIT 1", by) if by else []
        return jobs[0] if jobs else None
