"""Who killed the worker? Of several that were with it nobody can say, so suspects go alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Company:
    """Lets in any number at once, or one that must be alone; who must be alone comes next."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._is_closed = False  # one is alone inside
        self._suspects = 0  # that wait to be alone

    @asynccontextmanager
    async def joined(self, alone: bool) -> AsyncIterator[None]:
        """Wait for room, and be inside."""
        async with self._changed:
            self._suspects += alone
            try:
                await self._changed.wait_for(lambda: self._has_room(alone))
            finally:
                self._suspects -= alone
            self._inside += 1
            self._is_closed = alone
        try:
            yield
        finally:
            # Without an await, so that it also happens to whoever is cancelled; the bell is rung after it.
            self._inside -= 1
            self._is_closed = False
            await asyncio.shield(asyncio.ensure_future(self._tell()))

    def _has_room(self, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._is_closed and self._suspects == 0

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
