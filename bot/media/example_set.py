"""What makes a good set: five drawn photos as one picture, each with the reason it is there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

import drawn
from bot import texts
from bot.media import contact_sheet
from bot.media.contact_sheet import TILE_PX, Mark
from bot.media.storage import Files

log = logging.getLogger(__name__)

_GOOD = (22, 163, 74)


class Examples:
    """Draws the picture when it is first asked for; it lies beside the data from then on."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._drawing = asyncio.Lock()

    async def picture(self) -> tuple[Path, ...]:
        """Give the picture with the reasons in the words of the moment; nothing where it cannot be kept."""
        reasons = texts.good_set_reasons()
        # Named by its words, so that other words, such as another language's, are another file.
        name = f"good-set-{hashlib.sha256('|'.join(reasons).encode()).hexdigest()[:12]}.jpg"
        path = self._files.example_path(name)
        async with self._drawing:
            if await asyncio.to_thread(path.is_file):
                return (path,)
            try:
                await self._files.write_example(name, await asyncio.to_thread(_composed, reasons))
            except OSError:
                log.exception("the examples could not be kept; they are left out")
                return ()
        return (path,)


def _composed(reasons: tuple[str, ...]) -> bytes:
    return contact_sheet.compose(drawn.good_set(TILE_PX), [Mark(_GOOD, words) for words in reasons])
