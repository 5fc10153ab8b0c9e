"""The coach: looks at photos while they arrive and says what to do better."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence

from bot.media.quality._analyzer import Eye
from bot.media.quality._report import Report, report
from bot.media.quality._types import Sight

log = logging.getLogger(__name__)

#: What was measured is kept for as long as a person needs to send the next photos, in memory alone.
KEPT_S = 3600.0
MAX_KEPT = 500
#: A person waits that long for what the coach says; a cold disk may take longer to start its eye.
PATIENCE_S = 8.0


class Coach:
    """Judges photos. What it measured is derived from them: it forgets both together."""

    def __init__(
        self,
        eye: Eye,
        kept_s: float = KEPT_S,
        patience_s: float = PATIENCE_S,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._eye = eye
        self._kept_s = kept_s
        self._patience_s = patience_s
        self._is_wanted = is_wanted
        self._looks: set[asyncio.Task[list[Sight | None]]] = set()
        self._awaited: set[str] = set()  # photos under the eye that nobody has forgotten meanwhile
        self._sights: dict[str, Sight] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def look(self, photos: Sequence[bytes], class_word: str) -> Report | None:
        """Judge photos of our own gate, in their order; never fails: what it cannot see it says less of.

        None where nobody wants to hear it, or when it takes longer than people wait: it then goes on looking,
        and knows more the next time.
        """
        if not self._is_wanted():
            return None
        look = asyncio.ensure_future(self._sights_of(photos))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        try:
            return report(await asyncio.wait_for(asyncio.shield(look), self._patience_s), class_word)
        except TimeoutError:
            log.warning("the coach took longer than %.0f s for %d photos", self._patience_s, len(photos))
            return None

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was measured of photos, named by the SHA-256 of their bytes."""
        for name in names:
            self._awaited.discard(name)
            self._sights.pop(name, None)
            if (timer := self._timers.pop(name, None)) is not None:
                timer.cancel()

    async def close(self) -> None:
        """Forget everything and end the eye."""
        for look in self._looks:
            look.cancel()
        if self._looks:
            await asyncio.wait(self._looks)
        self.forget(list(self._sights))
        await self._eye.close()

    async def _sights_of(self, photos: Sequence[bytes]) -> list[Sight | None]:
        return [await self._sight(photo) for photo in photos]

    async def _sight(self, photo: bytes) -> Sight | None:
        name = hashlib.sha256(photo).hexdigest()
        if name in self._sights:
            return self._sights[name]
        self._awaited.add(name)
        try:
            sight = await self._eye.see(photo)
            if sight is not None and name in self._awaited:
                self._keep(name, sight)
        finally:
            self._awaited.discard(name)
        return sight

    def _keep(self, name: str, sight: Sight) -> None:
        self.forget([name, *list(self._sights)[: len(self._sights) + 1 - MAX_KEPT]])
        self._sights[name] = sight
        self._timers[name] = asyncio.get_running_loop().call_later(self._kept_s, self.forget, [name])
