"""What a platform handed over is kept until it was worked off: a bot that dies meanwhile finds it again."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.outbox import Handed
from bot.db import Ledger
from bot.services.context import JobQueue


class Intake:
    """Takes updates in; whoever takes them works them off inside `bot.core.messages.asked_by`."""

    def __init__(self, ledger: Ledger, queue: JobQueue) -> None:
        self._ledger = ledger
        self._queue = queue

    async def take(self, updates: Sequence[Handed]) -> set[int]:
        """Keep updates; gives the numbers of those that were not handed over before."""
        return await self._ledger.take_in(updates)

    async def left_over(self) -> list[Handed]:
        """List, in their order, the updates that an earlier run was not done with."""
        return await self._ledger.left_over()

    async def has_begun(self) -> bool:
        """Say whether what is just being carried out has its job already, which will be shown then."""
        job = await self._ledger.job_asked_for()
        if job is not None:
            self._queue.changed(job.id)
        return job is not None

    async def worked_off(self, update_id: int) -> None:
        """Forget what an update said."""
        await self._ledger.worked_off(update_id)
