"""Pictures side by side in one, each with a label beneath."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

#: A longer side is scaled down; three of them fit what every platform shows as one picture.
MAX_TILE_PX = 768
_LABEL_SHARE = 0.1


def compose(pictures: Sequence[bytes], labels: Sequence[str]) -> bytes:
    """Return a PNG of pictures of one size in a row, each with its label beneath."""
    tiles = []
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            tile = image.convert("RGB")
        tile.thumbnail((MAX_TILE_PX, MAX_TILE_PX), Image.Resampling.LANCZOS)
        tiles.append(tile)
    width_px, height_px = tiles[0].size
    label_px = max(16, round(height_px * _LABEL_SHARE))
    sheet = Image.new("RGB", (width_px * len(tiles), height_px + label_px), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(label_px * 0.7)
    for index, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        sheet.paste(tile, (index * width_px, 0))
        draw.text(((index + 0.5) * width_px, height_px + label_px / 2), label, "black", font, anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
