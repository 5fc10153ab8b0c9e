"""Looks at the state of things every minute and keeps what it saw."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.domain import Sample
from bot.ledger import Ledger
from gpu_worker.protocol import Health

#: An hour more than is shown, so that the picture has no ragged edge.
KEEP_SAMPLES = timedelta(hours=25)


class Watchman:
    """Samples the queue and the card into the ledger."""

    def __init__(
        self, ledger: Ledger, health: Callable[[], Health | None], clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._health = health
        self._clock = clock

    async def look(self) -> None:
        """Keep a sample of now, and forget those that nobody is shown any more."""
        now = self._clock()
        await self._ledger.add_sample(await self._sample(now))
        await self._ledger.forget_samples_before(now - KEEP_SAMPLES)

    async def _sample(self, now: datetime) -> Sample:
        waiting, health = await self._ledger.waiting(), self._health()
        if health is None:
            return Sample(now, waiting)
        return Sample(
            at=now,
            waiting=waiting,
            device=health.device,
            load_percent=health.device_load_percent,
            memory_used_bytes=health.device_memory_used_bytes,
            memory_total_bytes=health.device_memory_total_bytes,
            temperature_c=health.device_temperature_c,
        )
