"""Who killed the worker? Of several that were with it nobody can say, so suspects go alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class SharedExclusiveLock:
    """Lets in any number at once, or one that must be alone; who must be alone comes next."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._holder_count = 0
        self._is_exclusive = False  # one is alone inside
        self._exclusive_waiters = 0  # that wait to be alone

    @asynccontextmanager
    async def acquire(self, exclusive: bool) -> AsyncIterator[None]:
        """Wait for room, and be inside."""
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
            # Without an await, so that it also happens to whoever is cancelled; the bell is rung after it.
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
