"""A clock for who waits: nobody does."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class SkippedTime:
    """The time, and pauses that are over at once: then it is later by what they would have taken."""

    def __init__(self) -> None:
        self._skipped_s = 0.0
        #: What somebody would have waited, in order.
        self.pauses_s: list[float] = []

    def utc_now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._skipped_s)

    def monotonic_s(self) -> float:
        return time.monotonic() + self._skipped_s

    def skip(self, seconds: float) -> None:
        self._skipped_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.skip(seconds)
        await asyncio.sleep(0)
