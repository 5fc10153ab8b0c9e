"""What happens by the clock: photos are forgotten in time, notices and the state of things are looked at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bot.core.accounts import ChatAddress, Platform
from bot.core.photos import PHOTO_RETENTION, PhotoSet
from bot.db import Database
from bot.media.storage import Storage
from bot.ops.daily_backup import DailyBackups

log = logging.getLogger(__name__)

#: Telegram brings an update again for a day; so long its number is known.
UPDATE_RETENTION = timedelta(days=2)
#: How long a set that nobody works on waits for its person to be reminded, and then to be forgotten.
REMIND_AFTER, FORGET_AFTER = timedelta(hours=20), timedelta(hours=24)


class ReminderSender(Protocol):
    """Tells people what they are to hear."""

    def wake(self) -> None:
        """A notice may be owed."""

    async def send_reminder(self, address: ChatAddress, photo_set: PhotoSet) -> bool:
        """Remind a person of a set; False when it is to be tried again later."""


class Schedule:
    """APScheduler with our jobs; each is a method, so that it can be called without waiting for the clock."""

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        notice_sender: ReminderSender,
        clock: Callable[[], datetime],
        forget_photos: Callable[[Sequence[str]], None],
        backups: DailyBackups | None = None,
    ) -> None:
        self._database = database
        self._storage = storage
        self._notice_sender = notice_sender
        self._forget_photos = forget_photos
        self._clock = clock
        self._backups = backups
        self._running_tasks: set[asyncio.Future[None]] = set()
        self._is_closed = False
        # However late: what comes more than a second late APScheduler would leave out, the daily backup too.
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def start(self, run_every_minute: Callable[[], Awaitable[None]]) -> None:
        """Begin, with a first round of house-keeping at once."""
        self._scheduler.add_job(
            self._run_task,
            "interval",
            args=[self.run_hourly],
            hours=1,
            id="house",
            next_run_time=datetime.now(self._scheduler.timezone),
        )
        for platform in Platform:  # each by itself: one that hangs holds up its own reminders alone
            self._scheduler.add_job(
                self._run_task,
                "interval",
                args=[partial(self.send_reminders, platform)],
                hours=1,
                id=f"reminders-{platform}",
                next_run_time=datetime.now(self._scheduler.timezone),
            )
        # Notices wake the notifier themselves; this is for a machine whose clock was set or that slept.
        self._scheduler.add_job(
            self._run_task, "interval", args=[self.wake_notices], seconds=30, id="notices"
        )
        self._scheduler.add_job(self._run_task, "cron", args=[run_every_minute], second=0, id="every-minute")
        self._scheduler.start()

    async def close(self) -> None:
        """Stop, and break off what is under way, so that nothing of it goes on in a house that is closed."""
        self._is_closed = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        for task in self._running_tasks:
            task.cancel()
        if self._running_tasks:
            await asyncio.wait(self._running_tasks)

    async def _run_task(self, callback: Callable[[], Awaitable[None]]) -> None:
        # In a task of ours: APScheduler goes on for a moment, and tells no end that could be waited for.
        if self._is_closed:
            return
        task = asyncio.ensure_future(callback())
        self._running_tasks.add(task)
        task.add_done_callback(self._running_tasks.discard)
        try:
            await task
        except asyncio.CancelledError:
            if not self._is_closed:  # by `close`, APScheduler would log it as an error
                raise

    async def run_hourly(self) -> None:
        """Keep house and, when it is time, back up what is left: one after the other, as both read it all."""
        try:
            await self.run_retention()
        except Exception:  # there is a backup all the same
            log.exception("retention run failed")
        if self._backups is not None:
            await self._backups.run_if_due()

    async def run_retention(self) -> None:
        """Forget photos and drafts that are too old, sweep files that nobody owns, cut the database's log."""
        expired_photos = await self._database.photos.delete_photos_before(self._clock() - PHOTO_RETENTION)
        expired_photos += await self._database.photo_sets.delete_sets_before(self._clock() - FORGET_AFTER)
        self._forget_photos(expired_photos)
        open_job_ids = [
            *await self._database.jobs.list_queued_ids(),
            *(job.id for job in await self._database.jobs.list_running()),
        ]
        orphan_count = await self._storage.delete_orphans(
            open_job_ids, self._database.results.list_unreferenced_files
        )
        await self._database.results.delete_expired_drafts(self._clock())
        await self._database.results.delete_expired_messages()
        await self._database.outbox.delete_updates_before(self._clock() - UPDATE_RETENTION)
        await self._database.sharing.delete_expired_requests(self._clock())
        await self._database.access.delete_expired_usage(self._clock())
        await self._database.checkpoint_wal()
        if expired_photos or orphan_count:
            log.info("deleted %d expired photos and %d orphaned files", len(expired_photos), orphan_count)
        self._notice_sender.wake()

    async def wake_notices(self) -> None:
        """Let the notifier look."""
        self._notice_sender.wake()

    async def send_reminders(self, platform: Platform) -> None:
        """Remind people on a platform of the photos they are collecting, before those are forgotten."""
        now = self._clock()
        for photo_set in await self._database.photo_sets.list_sets_to_remind(
            platform, now - FORGET_AFTER, now - REMIND_AFTER
        ):
            if photo_set.address is not None and await self._notice_sender.send_reminder(
                photo_set.address, photo_set
            ):
                await self._database.photo_sets.mark_set_reminded(photo_set.account)
