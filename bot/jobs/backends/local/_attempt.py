"""The queue of one attempt's events, from the reader of the pipe to the consumer of the attempt."""

from __future__ import annotations

import asyncio
from collections import deque

from bot.jobs.backends.local._validator import AttemptValidator
from gpu_worker.protocol import WorkerEvent

#: Events that wait to be written down. With more the pipe is not read, and the worker has to wait too.
MAX_QUEUED_EVENTS = 64


class AttemptEvents:
    """Events of an attempt that the worker runs. One task puts, one gets."""

    def __init__(self, validator: AttemptValidator) -> None:
        self.validator = validator
        self._events: deque[WorkerEvent] = deque()
        self._is_closed = False
        self._not_empty = asyncio.Event()
        self._not_full = asyncio.Event()

    async def put(self, event: WorkerEvent) -> None:
        """Add an event. Wait while the queue is full, and drop the event if it is closed."""
        while len(self._events) >= MAX_QUEUED_EVENTS and not self._is_closed:
            self._not_full.clear()
            await self._not_full.wait()
        if not self._is_closed:
            self._events.append(event)
            self._not_empty.set()

    async def get(self) -> WorkerEvent | None:
        """Return the next event, or None when there are no more."""
        while not self._events:
            if self._is_closed:
                return None
            self._not_empty.clear()
            await self._not_empty.wait()
        self._not_full.set()
        return self._events.popleft()

    def close(self) -> None:
        """End the queue. Events that are in it can still be read."""
        self._is_closed = True
        self._not_empty.set()
        self._not_full.set()
