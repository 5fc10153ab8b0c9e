"""The contact sheet: the photos of a set, small and numbered, as one picture."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE_PX = 192
COLUMNS = 5
_GAP_PX, _BADGE_PX, _FRAME_PX, _WORDS_PX = 6, 36, 6, 26
#: 110 kB each; a set that grows is shown with every photo, and decoding them anew is most of the work.
MAX_TILES = 128


@dataclass(frozen=True, slots=True)
class Mark:
    """A photo's frame, as red, green and blue, and the few words beneath it."""

    colour: tuple[int, int, int]
    words: str


class Tiles:
    """The small pictures of photos that were shown last, by the SHA-256 of their bytes; for any thread."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[str, Image.Image] = OrderedDict()
        self._lock = Lock()

    def of(self, photo: bytes) -> Image.Image:
        """Give the tile of a photo of our own gate."""
        name = hashlib.sha256(photo).hexdigest()
        with self._lock:
            tile = self._tiles.pop(name, None)
        if tile is None:
            tile = _tile(photo)
        with self._lock:
            self._tiles[name] = tile
            while len(self._tiles) > MAX_TILES:
                self._tiles.popitem(last=False)
        return tile

    def forget(self, names: Iterable[str]) -> None:
        """Forget photos, named by the SHA-256 of their bytes."""
        with self._lock:
            for name in names:
                self._tiles.pop(name, None)


def compose(photos: Sequence[bytes], marks: Sequence[Mark] = (), tiles: Tiles | None = None) -> bytes:
    """Return a JPEG of photos of our own gate, in their order, each with its number from 1 and its mark."""
    tiles = tiles or Tiles()
    columns = min(COLUMNS, len(photos))
    rows = -(-len(photos) // COLUMNS)
    step_px = TILE_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_px + _GAP_PX, rows * step_px + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for place, photo in enumerate(photos):
        left, top = (_GAP_PX + number * step_px for number in (place % COLUMNS, place // COLUMNS))
        sheet.paste(tiles.of(photo), (left, top))
        if place < len(marks):
            _draw_mark(pen, (left, top), marks[place])
        pen.rectangle((left, top, left + _BADGE_PX, top + _BADGE_PX), "black")
        middle = (left + _BADGE_PX / 2, top + _BADGE_PX / 2)
        pen.text(middle, str(place + 1), "white", font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


def _draw_mark(pen: ImageDraw.ImageDraw, corner: tuple[int, int], mark: Mark) -> None:
    left, top = corner
    right, bottom = left + TILE_PX - 1, top + TILE_PX - 1
    pen.rectangle((left, top, right, bottom), outline=mark.colour, width=_FRAME_PX)
    pen.rectangle((left, bottom - _WORDS_PX, right, bottom), fill=mark.colour)
    middle = (left + TILE_PX / 2, bottom - _WORDS_PX / 2)
    pen.text(middle, mark.words, _ink(mark.colour), ImageFont.load_default(17), anchor="mm")


def _ink(colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "white"


def _tile(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        opened.draft("RGB", (TILE_PX, TILE_PX))  # JPEG decodes at a fraction of its size: ten photos at once
        return ImageOps.fit(opened.convert("RGB"), (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
