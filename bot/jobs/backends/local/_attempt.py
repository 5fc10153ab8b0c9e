"""The way of one attempt's events from whoever reads the pipe to whoever carries the attempt out."""

from __future__ import annotations

import asyncio
from collections import deque

from bot.jobs.backends.local._validator import Watch
from gpu_worker.protocol import Event

#: Events that wait to be written down. With more the pipe is not read, and the worker has to wait too.
MAX_WAITING = 64


class Attempt:
    """An attempt that is with the worker; one task puts, one takes."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._events: deque[Event] = deque()
        self._is_over = False
        self._came = asyncio.Event()
        self._went = asyncio.Event()

    async def put(self, event: Event) -> None:
        """Hand an event over; waits while too many do, and drops it when nobody takes any more."""
        while len(self._events) >= MAX_WAITING and not self._is_over:
            self._went.clear()
            await self._went.wait()
        if not self._is_over:
            self._events.append(event)
            self._came.set()

    async def take(self) -> Event | None:
        """Give the next event; None when there comes none any more."""
        while not self._events:
            if self._is_over:
                return None
            self._came.clear()
            await self._came.wait()
        self._went.set()
        return self._events.popleft()

    def end(self) -> None:
        """Say that there comes, or is wanted, no more; what has come can still be taken."""
        self._is_over = True
        self._came.set()
        self._went.set()
