"""What happens by the clock: photos are forgotten in time, notices and the state of things are looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.core.accounts import Place
from bot.core.photos import PhotoSet
from bot.db import Ledger
from bot.media.storage import Files
from bot.ops.daily_backup import Backups

log = logging.getLogger(__name__)

#: The longest a photo is kept, whatever becomes of its training.
PHOTO_RETENTION = timedelta(days=7)
#: Telegram brings an update again for a day; so long its number is known.
UPDATE_RETENTION = timedelta(days=2)
#: How long a set that nobody works on waits for its person to be reminded, and then to be forgotten.
REMIND_AFTER, FORGET_AFTER = timedelta(hours=20), timedelta(hours=24)


class Teller(Protocol):
    """Tells people what they are to hear."""

    def wake(self) -> None:
        """A notice may be owed."""

    async def remind(self, place: Place, photo_set: PhotoSet) -> bool:
        """Remind a person of a set; False when it is to be tried again later."""


class Schedule:
    """APScheduler with our jobs; each is a method, so that it can be called without waiting for the clock."""

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        notifier: Teller,
        clock: Callable[[], datetime],
        forget: Callable[[Sequence[str]], None],
        backups: Backups | None = None,
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._notifier = notifier
        self._forget = forget
        self._clock = clock
        self._backups = backups
        self._rounds: set[asyncio.Future[None]] = set()
        self._is_closed = False
        # However late: what comes more than a second late APScheduler would leave out, the daily backup too.
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self, every_minute: Callable[[], Awaitable[None]]) -> None:
        """Begin, with a first round of house-keeping at once."""
        self._scheduler.add_job(
            self._round,
            "interval",
            args=[self.every_hour],
            hours=1,
            id="house",
            next_run_time=datetime.now(self._scheduler.timezone),
        )
        # Notices wake the notifier themselves; this is for a machine whose clock was set or that slept.
        self._scheduler.add_job(
            self._round, "interval", args=[self.look_at_notices], seconds=30, id="notices"
        )
        self._scheduler.add_job(self._round, "cron", args=[every_minute], second=0, id="every-minute")
        self._scheduler.start()

    async def close(self) -> None:
        """Stop, and break off what is under way, so that nothing of it goes on in a house that is closed."""
        self._is_closed = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        for under_way in self._rounds:
            under_way.cancel()
        if self._rounds:
            await asyncio.wait(self._rounds)

    async def _round(self, work: Callable[[], Awaitable[None]]) -> None:
        # In a task of ours: APScheduler goes on for a moment, and tells no end that could be waited for.
        if self._is_closed:
            return
        under_way = asyncio.ensure_future(work())
        self._rounds.add(under_way)
        under_way.add_done_callback(self._rounds.discard)
        await under_way

    async def every_hour(self) -> None:
        """Keep house and, when it is time, back up what is left: one after the other, as both read it all."""
        try:
            await self.keep_house()
        except Exception:  # there is a backup all the same
            log.exception("the house could not be kept")
        if self._backups is not None:
            await self._backups.keep()

    async def keep_house(self) -> None:
        """Forget photos and drafts that are too old, sweep files that nobody owns, cut the ledger's log."""
        forgotten = await self._ledger.forget_photos_before(self._clock() - PHOTO_RETENTION)
        forgotten += await self._ledger.forget_sets_before(self._clock() - FORGET_AFTER)
        self._forget(forgotten)
        await self._remind()
        jobs = [*await self._ledger.queued_ids(), *(job.id for job in await self._ledger.running_jobs())]
        swept = await self._files.sweep(jobs, self._ledger.unnamed)
        await self._ledger.forget_drafts(self._clock())
        await self._ledger.forget_updates_before(self._clock() - UPDATE_RETENTION)
        await self._ledger.forget_invitations(self._clock())
        await self._ledger.compact()
        if forgotten or swept:
            log.info("%d photos were past their time, %d files had no owner", len(forgotten), swept)
        self._notifier.wake()

    async def look_at_notices(self) -> None:
        """Let the notifier look."""
        self._notifier.wake()

    async def _remind(self) -> None:
        for photo_set in await self._ledger.sets_to_remind(self._clock() - REMIND_AFTER):
            if photo_set.place is not None and await self._notifier.remind(photo_set.place, photo_set):
                await self._ledger.set_reminded(photo_set.account)
