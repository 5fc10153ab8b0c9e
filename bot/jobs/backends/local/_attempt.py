"""The way of one attempt's events from whoever reads the pipe to whoever carries the attempt out."""

from __future__ import annotations

import asyncio
from collections import deque

from bot.jobs.backends.local._validator import AttemptValidator
from gpu_worker.protocol import WorkerEvent

#: Events that wait to be written down. With more the pipe is not read, and the worker has to wait too.
MAX_QUEUED_EVENTS = 64


class AttemptEvents:
    """An attempt that is with the worker; one task puts, one takes."""

    def __init__(self, validator: AttemptValidator) -> None:
        self.validator = validator
        self._events: deque[WorkerEvent] = deque()
        self._is_closed = False
        self._not_empty = asyncio.Event()
        self._not_full = asyncio.Event()

    async def put(self, event: WorkerEvent) -> None:
        """Hand an event over; waits while too many do, and drops it when nobody takes any more."""
        while len(self._events) >= MAX_QUEUED_EVENTS and not self._is_closed:
            self._not_full.clear()
            await self._not_full.wait()
        if not self._is_closed:
            self._events.append(event)
            self._not_empty.set()

    async def get(self) -> WorkerEvent | None:
        """Return the next event; None when there comes none any more."""
        while not self._events:
            if self._is_closed:
                return None
            self._not_empty.clear()
            await self._not_empty.wait()
        self._not_full.set()
        return self._events.popleft()

    def close(self) -> None:
        """Say that there comes, or is wanted, no more; what has come can still be taken."""
        self._is_closed = True
        self._not_empty.set()
        self._not_full.set()
