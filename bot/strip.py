"""The strip of samples: what a LoRA drew while it learnt, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

MAX_TILES = 6
TILE_PX = 256
_LABEL_PX = 28


def compose(samples: Mapping[int, bytes]) -> bytes:
    """Return a PNG of samples, keyed by their step, in the order of their steps, each labelled."""
    chosen = evenly(sorted(samples))
    sheet = Image.new("RGB", (TILE_PX * len(chosen), TILE_PX + _LABEL_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for place, step in enumerate(chosen):
        with Image.open(io.BytesIO(samples[step])) as opened:
            tile = opened.convert("RGB")
        # Small pictures are enlarged in whole steps, so that their pixels stay sharp.
        grow = max(1, TILE_PX // max(tile.size))
        tile = tile.resize((tile.width * grow, tile.height * grow), Image.Resampling.NEAREST)
        tile.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
        left = place * TILE_PX
        sheet.paste(tile, (left + (TILE_PX - tile.width) // 2, (TILE_PX - tile.height) // 2))
        pen.text((left + TILE_PX / 2, TILE_PX + _LABEL_PX / 2), f"step {step}", "black", font, anchor="mm")
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def evenly(steps: list[int]) -> list[int]:
    """Choose at most MAX_TILES of them, the first and the last among them."""
    if len(steps) <= MAX_TILES:
        return steps
    last = len(steps) - 1
    return [steps[round(number * last / (MAX_TILES - 1))] for number in range(MAX_TILES)]
