"""The coach reviews photos while they arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from cachetools import TTLCache

from bot.core.photos import StoredPhoto
from bot.media.quality._analyzer import PhotoAnalyzer
from bot.media.quality._report import QualityReport, build_report
from bot.media.quality._rules import TRAINED_SIDE_PX
from bot.media.quality._types import PhotoMeasurements

log = logging.getLogger(__name__)

#: What was measured is kept for as long as a person needs to send the next photos, in memory alone.
CACHE_TTL_S = 3600.0
MAX_CACHED_PHOTOS = 500
#: A person waits that long for what the coach says; a cold disk may take longer to start its eye.
REVIEW_TIMEOUT_S = 8.0


class PhotoCoach:
    """Reviews photos. It caches measurements by photo, and forgets them with the photo."""

    def __init__(
        self,
        analyzer: PhotoAnalyzer,
        cache_ttl_s: float = CACHE_TTL_S,
        timeout_s: float = REVIEW_TIMEOUT_S,
        is_enabled: Callable[[], bool] = lambda: True,
        trained_side_px: Callable[[], int] = lambda: TRAINED_SIDE_PX,
    ) -> None:
        """`trained_side_px` is the side of the pictures that the base model of now is trained on."""
        self._analyzer = analyzer
        self._cache_ttl_s = cache_ttl_s
        self._timeout_s = timeout_s
        self._is_enabled, self._trained_side_px = is_enabled, trained_side_px
        self._review_tasks: set[asyncio.Task[list[PhotoMeasurements | None]]] = set()
        self._pending_hashes: set[str] = set()  # photos under the eye that nobody has forgotten meanwhile
        self._measurements: TTLCache[str, PhotoMeasurements] = TTLCache(MAX_CACHED_PHOTOS, cache_ttl_s)

    async def review_photos(self, photos: Sequence[StoredPhoto], class_word: str) -> QualityReport | None:
        """Return a report on stored photos, in their order. Never raise: photos that cannot be analysed are
        skipped.

        Return None if the coach is off, or if it takes longer than people wait. It then goes on, and the next
        review has more.
        """
        if not self._is_enabled():
            return None
        task = asyncio.ensure_future(self._measure_photos(photos))
        self._review_tasks.add(task)
        task.add_done_callback(self._review_tasks.discard)
        try:
            measurements = await asyncio.wait_for(asyncio.shield(task), self._timeout_s)
            return build_report(measurements, class_word, self._trained_side_px())
        except TimeoutError:
            log.warning("the coach took longer than %.0f s for %d photos", self._timeout_s, len(photos))
            return None

    def forget(self, photo_hashes: Iterable[str]) -> None:
        """Forget the measurements of photos, named by the SHA-256 of their bytes."""
        for photo_hash in photo_hashes:
            self._pending_hashes.discard(photo_hash)
            self._measurements.pop(photo_hash, None)

    async def close(self) -> None:
        """Forget everything and end the analyzer."""
        for task in self._review_tasks:
            task.cancel()
        if self._review_tasks:
            await asyncio.wait(self._review_tasks)
        self._measurements.clear()
        await self._analyzer.close()

    async def _measure_photos(self, photos: Sequence[StoredPhoto]) -> list[PhotoMeasurements | None]:
        return [await self._measure_photo(photo) for photo in photos]

    async def _measure_photo(self, photo: StoredPhoto) -> PhotoMeasurements | None:
        photo_hash = photo.data_sha256
        if (cached_measurements := self._measurements.get(photo_hash)) is not None:
            return cached_measurements
        self._pending_hashes.add(photo_hash)
        try:
            measurements = await self._analyzer.analyze(photo.data)
            if measurements is not None and photo_hash in self._pending_hashes:
                self._measurements[photo_hash] = measurements
                # The cache drops what is too old when it is used: nothing stays if nobody uses it either.
                asyncio.get_running_loop().call_later(self._cache_ttl_s, self._measurements.expire)
        finally:
            self._pending_hashes.discard(photo_hash)
        return measurements
