"""What makes a good set: five drawn photos as one picture, each with the reason it is there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

import drawn
from bot.core.photos import StoredPhoto
from bot.media import contact_sheet
from bot.media.contact_sheet import TILE_PX, Overlay
from bot.media.storage import Storage
from bot.texts.photo_sets import good_set_reasons

log = logging.getLogger(__name__)

_GREEN = (22, 163, 74)


class ExampleSheet:
    """Draws the picture when it is first asked for; it lies beside the data from then on."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = asyncio.Lock()

    async def get_picture(self) -> tuple[Path, ...]:
        """Return the picture with the reasons in the words of the moment; nothing where it cannot be kept."""
        reasons = good_set_reasons()
        # Named by its words, so that other words, such as another language's, are another file.
        name = f"good-set-{hashlib.sha256('|'.join(reasons).encode()).hexdigest()[:12]}.jpg"
        path = self._storage.example_path(name)
        async with self._lock:
            if await asyncio.to_thread(path.is_file):
                return (path,)
            try:
                await self._storage.write_example(name, await asyncio.to_thread(_compose_sheet, reasons))
            except OSError:
                log.exception("the examples could not be kept; they are left out")
                return ()
        return (path,)


def _compose_sheet(reasons: tuple[str, ...]) -> bytes:
    return contact_sheet.compose(
        [StoredPhoto.from_data(photo) for photo in drawn.good_set(TILE_PX)],
        [Overlay(_GREEN, reason) for reason in reasons],
    )
