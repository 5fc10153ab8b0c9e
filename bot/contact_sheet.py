"""The contact sheet: the photos of a set, small and numbered, as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE_PX = 192
COLUMNS = 5
_GAP_PX, _BADGE_PX = 6, 36


def compose(photos: Sequence[bytes]) -> bytes:
    """Return a JPEG of photos of our own gate, in their order, each with its number from 1."""
    columns = min(COLUMNS, len(photos))
    rows = -(-len(photos) // COLUMNS)
    step_px = TILE_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_px + _GAP_PX, rows * step_px + _GAP_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for place, photo in enumerate(photos):
        left, top = (_GAP_PX + number * step_px for number in (place % COLUMNS, place // COLUMNS))
        sheet.paste(_tile(photo), (left, top))
        pen.rectangle((left, top, left + _BADGE_PX, top + _BADGE_PX), "black")
        middle = (left + _BADGE_PX / 2, top + _BADGE_PX / 2)
        pen.text(middle, str(place + 1), "white", font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


def _tile(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as opened:
        opened.draft("RGB", (TILE_PX, TILE_PX))  # JPEG decodes at a fraction of its size: ten photos at once
        return ImageOps.fit(opened.convert("RGB"), (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
