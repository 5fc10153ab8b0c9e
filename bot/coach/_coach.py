"""The coach: looks at photos while they arrive and says what to do better."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence

from bot.coach._eye import Eye
from bot.coach._report import Report, report
from bot.coach._sight import Sight

#: What was measured is kept for as long as a person needs to send the next photos, in memory alone.
KEPT_S = 3600.0
MAX_KEPT = 500


class Coach:
    """Judges photos. What it measured is derived from them: it forgets both together."""

    def __init__(self, eye: Eye, kept_s: float = KEPT_S) -> None:
        self._eye = eye
        self._kept_s = kept_s
        self._sights: dict[str, Sight] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def look(self, photos: Sequence[bytes], class_word: str) -> Report:
        """Judge photos of our own gate, in their order; never fails: what it cannot see it says less of."""
        return report([await self._sight(photo) for photo in photos], class_word)

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was measured of photos, named by the SHA-256 of their bytes."""
        for name in names:
            self._sights.pop(name, None)
            if (timer := self._timers.pop(name, None)) is not None:
                timer.cancel()

    async def close(self) -> None:
        """Forget everything and end the eye."""
        self.forget(list(self._sights))
        await self._eye.close()

    async def _sight(self, photo: bytes) -> Sight | None:
        name = hashlib.sha256(photo).hexdigest()
        if name in self._sights:
            return self._sights[name]
        sight = await self._eye.see(photo)
        if sight is not None:
            self.forget([name, *list(self._sights)[: len(self._sights) + 1 - MAX_KEPT]])
            self._sights[name] = sight
            self._timers[name] = asyncio.get_running_loop().call_later(self._kept_s, self.forget, [name])
        return sight
