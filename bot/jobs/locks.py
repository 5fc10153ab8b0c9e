"""A lock for jobs that must run alone.

If a worker dies with several jobs, nobody can say which one killed it. A job that was lost too often
runs alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SharedExclusiveLock:
    """Admits any number of shared holders, or one exclusive holder; exclusive waiters come first."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._holder_count = 0
        self._is_exclusive = False  # held exclusively
        self._exclusive_waiters = 0  # waiting to hold it exclusively

    @asynccontextmanager
    async def acquire(self, exclusive: bool) -> AsyncIterator[None]:
        """Wait for the lock and hold it inside the block."""
        async with self._condition:
            self._exclusive_waiters += exclusive
            try:
                await self._condition.wait_for(lambda: self._can_acquire(exclusive))
            finally:
                self._exclusive_waiters -= exclusive
            self._holder_count += 1
            self._is_exclusive = exclusive
        try:
            yield
        finally:
            # Without an await, so that a cancelled holder releases it too; waiters are notified after it.
            self._holder_count -= 1
            self._is_exclusive = False
            await asyncio.shield(asyncio.ensure_future(self._notify_waiters()))

    def _can_acquire(self, exclusive: bool) -> bool:
        if exclusive:
            return self._holder_count == 0
        return not self._is_exclusive and self._exclusive_waiters == 0

    async def _notify_waiters(self) -> None:
        async with self._condition:
            self._condition.notify_all()
