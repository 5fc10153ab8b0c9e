"""The strip of samples: what a LoRA drew while it learnt, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

from bot.domain import LikenessReport

MAX_TILES = 6
TILE_PX = 256
_LABEL_PX = 28
_CHART_PX, _MARGIN_PX = 180, 44


def compose(samples: Mapping[int, bytes], likeness: LikenessReport | None = None) -> bytes:
    """Return a PNG of samples, keyed by their step, in the order of their steps, each labelled.

    Beneath it how the likeness went, where it was measured more than once.
    """
    chosen = evenly(sorted(samples))
    has_chart = likeness is not None and len(likeness.scores) > 1
    height_px = TILE_PX + _LABEL_PX + (_CHART_PX if has_chart else 0)
    sheet = Image.new("RGB", (TILE_PX * len(chosen), height_px), "white")
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
    if likeness is not None and has_chart:
        _chart(pen, likeness, sheet.width)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _chart(pen: ImageDraw.ImageDraw, likeness: LikenessReport, width_px: int) -> None:
    """Draw likeness over steps, the chosen one marked."""
    font, low = ImageFont.load_default(14), TILE_PX + _LABEL_PX + _CHART_PX - _MARGIN_PX
    high_px, wide_px = _CHART_PX - 2 * _MARGIN_PX, width_px - 2 * _MARGIN_PX
    first, last = likeness.scores[0].step, likeness.scores[-1].step
    places = [
        (_MARGIN_PX + wide_px * (each.step - first) / (last - first), low - high_px * each.likeness)
        for each in likeness.scores
    ]
    for share in (0.0, 0.5, 1.0):
        y = low - high_px * share
        pen.line((_MARGIN_PX, y, width_px - _MARGIN_PX, y), "#e5e7eb")
        pen.text((_MARGIN_PX - 6, y), f"{share:.0%}", "#6b7280", font, anchor="rm")
    pen.line(places, "#2563eb", 3)
    for (x, y), each in zip(places, likeness.scores, strict=True):
        is_chosen = each.step == likeness.chosen
        size = 7 if is_chosen else 4
        pen.ellipse((x - size, y - size, x + size, y + size), "#16a34a" if is_chosen else "#2563eb")
        pen.text((x, low + 6), str(each.step), "#6b7280", font, anchor="mt")


def evenly(steps: list[int]) -> list[int]:
    """Choose at most MAX_TILES of them, the first and the last among them."""
    if len(steps) <= MAX_TILES:
        return steps
    last = len(steps) - 1
    return [steps[round(number * last / (MAX_TILES - 1))] for number in range(MAX_TILES)]
