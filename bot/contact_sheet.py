"""The contact sheet: the photos of a set, small and numbered, as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE_PX = 192
COLUMNS = 5
_GAP_PX, _BADGE_PX, _FRAME_PX, _WORDS_PX = 6, 36, 6, 26


@dataclass(frozen=True, slots=True)
class Mark:
    """A photo's frame, as red, green and blue, and the few words beneath it."""

    colour: tuple[int, int, int]
    words: str


def compose(photos: Sequence[bytes], marks: Sequence[Mark] = ()) -> bytes:
    """Return a JPEG of photos of our own gate, in their order, each with its number from 1 and its mark."""
    columns = min(COLUMNS, len(photos))
    rows = -(-len(photos) // COLUMNS)
    step_px = TILE_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_px + _GAP_PX, rows * step_px + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for place, photo in enumerate(photos):
        left, top = (_GAP_PX + number * step_px for number in (place % COLUMNS, place // COLUMNS))
        sheet.paste(_tile(photo), (left, top))
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
