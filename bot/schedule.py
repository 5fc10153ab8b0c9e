"""What happens by the clock: photos are forgotten in time, owed notices are looked at again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.files import Files
from bot.ledger import Ledger

log = logging.getLogger(__name__)

#: The longest a photo is kept, whatever becomes of its training.
PHOTO_RETENTION = timedelta(days=7)


class Schedule:
    """APScheduler with our jobs; each is a method, so that it can be called without waiting for the clock."""

    def __init__(
        self, ledger: Ledger, files: Files, wake_notifier: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._wake_notifier = wake_notifier
        self._clock = clock
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1}
        )

    def start(self) -> None:
        """Begin, with a first round of house-keeping at once."""
        self._scheduler.add_job(
            self.keep_house,
            "interval",
            hours=1,
            id="house",
            next_run_time=datetime.now(self._scheduler.timezone),
        )
        # Notices wake the notifier themselves; this is for a machine whose clock was set or that slept.
        self._scheduler.add_job(self.look_at_notices, "interval", seconds=30, id="notices")
        self._scheduler.start()

    def close(self) -> None:
        """Stop; jobs under way are left to end."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def keep_house(self) -> None:
        """Forget photos and drafts that are too old, sweep files that nobody owns, cut the ledger's log."""
        forgotten = await self._ledger.forget_photos_before(self._clock() - PHOTO_RETENTION)
        jobs = [*await self._ledger.queued_ids(), *(job.id for job in await self._ledger.running_jobs())]
        named = await self._ledger.named_files()
        swept = await self._files.sweep(jobs, {"loras": named.loras, "pictures": named.pictures})
        await self._ledger.forget_drafts(self._clock())
        await self._ledger.compact()
        if forgotten or swept:
            log.info("%d photos were past their time, %d files had no owner", forgotten, swept)
        self._wake_notifier()

    async def look_at_notices(self) -> None:
        """Let the notifier look."""
        self._wake_notifier()
