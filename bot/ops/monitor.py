"""Looks at the state of things every minute, keeps what it saw, and wakes administrators when it is bad."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import Identity
from bot.core.jobs import PAUSED
from bot.core.monitoring import Finding, Sample, View, judge
from bot.db import Ledger
from gpu_worker.protocol import Health

log = logging.getLogger(__name__)

#: An hour more than is shown, so that the picture has no ragged edge.
KEEP_SAMPLES = timedelta(hours=25)
#: Alarms look at so much minute by minute; of what was before, the highest values are enough.
LATELY = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What else is looked at, and who is told: `wake` says that letters are owed.

    `deaths` counts the workers that ended by themselves since the start, `disk_free_share` is 0 to 1 and may
    wait for the disk, `backup_trouble` is as in `View`.
    """

    admins: Sequence[Identity]
    wake: Callable[[], None]
    deaths: Callable[[], int]
    disk_free_share: Callable[[], float]
    backup_trouble: Callable[[], str | None]


class Watchman:
    """Samples the queue and the card into the ledger; without an outlook that is all."""

    def __init__(
        self,
        ledger: Ledger,
        health: Callable[[], Health | None],
        clock: Callable[[], datetime],
        outlook: Outlook | None = None,
    ) -> None:
        self._ledger = ledger
        self._health = health
        self._clock = clock
        self._outlook = outlook

    async def look(self) -> None:
        """Keep a sample of now, forget those that nobody is shown any more, and tell what has become bad."""
        now = self._clock()
        await self._ledger.add_sample(await self._sample(now))
        await self._ledger.forget_samples_before(now - KEEP_SAMPLES)
        if self._outlook is not None:
            for finding in judge(await self._view(self._outlook, now)):
                await self._tell(self._outlook, finding)

    async def _view(self, outlook: Outlook, now: datetime) -> View:
        lately = await self._ledger.samples_since(now - LATELY)
        peaks = await self._ledger.peaks_since(now - KEEP_SAMPLES)
        return View(
            samples=[*(each for each in peaks if each.at < lately[0].at), *lately],
            disk_free_share=await asyncio.to_thread(outlook.disk_free_share),
            oldest_waiting_at=await self._ledger.oldest_waiting_at(),
            is_paused=PAUSED in await self._ledger.switches_on(),
            backup_trouble=outlook.backup_trouble(),
        )

    async def _tell(self, outlook: Outlook, finding: Finding) -> None:
        """Tell of a change; that it was told stands in the ledger with the letters, so it is told once."""
        if finding.is_bad is None:
            return
        words = texts.alarm(finding) if finding.is_bad else texts.alarm_over(finding)
        if await self._ledger.turn_alarm(finding.alarm, finding.is_bad, outlook.admins, words):
            log.log(logging.ERROR if finding.is_bad else logging.INFO, "%s", words)
            outlook.wake()

    async def _sample(self, now: datetime) -> Sample:
        waiting, health = await self._ledger.waiting(), self._health()
        deaths = 0 if self._outlook is None else self._outlook.deaths()
        if health is None:
            return Sample(now, waiting, worker_deaths=deaths)
        return Sample(
            at=now,
            waiting=waiting,
            device=health.device,
            load_percent=health.device_load_percent,
            memory_used_bytes=health.device_memory_used_bytes,
            memory_total_bytes=health.device_memory_total_bytes,
            temperature_c=health.device_temperature_c,
            worker_deaths=deaths,
        )
