"""What a platform handed over is kept until it was worked off: a bot that dies meanwhile finds it again."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.outbox import IncomingUpdate
from bot.db import Database
from bot.services.context import JobQueue


class UpdateInbox:
    """Takes updates in; whoever takes them works them off inside `bot.core.messages.asked_by`."""

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    async def store(self, updates: Sequence[IncomingUpdate]) -> set[int]:
        """Keep updates; gives the numbers of those that were not handed over before."""
        return await self._database.outbox.store_updates(updates)

    async def list_pending(self) -> list[IncomingUpdate]:
        """List, in their order, the updates that an earlier run was not done with."""
        return await self._database.outbox.list_pending_updates()

    async def has_job(self) -> bool:
        """Say whether what is just being carried out has its job already, which will be shown then."""
        job = await self._database.jobs.find_by_current_request()
        if job is not None:
            self._queue.notify_changed(job.id)
        return job is not None

    async def mark_processed(self, update_id: int) -> None:
        """Forget what an update said."""
        await self._database.outbox.mark_update_processed(update_id)
