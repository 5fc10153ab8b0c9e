"""The strip of a training: what its LoRA drew on the way, how alike that was, which one was handed out."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from bot.core.likeness import LikenessReport

MAX_TILES = 6
TILE_PX = 256
LABEL_PX = 28
CHART_PX = 180
_MARGIN_PX, _FRAME_PX = 44, 6
_BLUE, _GREEN, _GRID, _FAINT = "#2563eb", "#16a34a", "#e5e7eb", "#6b7280"


def compose(
    samples: Mapping[int, bytes],
    likeness: LikenessReport | None = None,
    candidates: Mapping[int, Sequence[bytes]] | None = None,
) -> bytes:
    """Return a PNG of samples, keyed by their step, in the order of their steps, each labelled.

    Beneath them how the likeness went, where it was measured more than once, and the pictures that it was
    measured on, a column a step; what is handed out is green.
    """
    of_samples = {step: [samples[step]] for step in evenly(sorted(samples))}
    grid, chosen = dict(candidates or {}), None if likeness is None else likeness.chosen
    grid = {step: grid[step] for step in evenly(sorted(grid), chosen)}
    has_chart = likeness is not None and len(likeness.scores) > 1
    depth = max((len(pictures) for pictures in grid.values()), default=0)
    below_px = (TILE_PX + LABEL_PX if of_samples else 0) + (CHART_PX if has_chart else 0)
    height_px = below_px + (depth * TILE_PX + LABEL_PX if grid else 0)
    sheet = Image.new("RGB", (TILE_PX * max(1, len(of_samples), len(grid)), max(1, height_px)), "white")
    _columns(sheet, 0, of_samples, {step: f"step {step}" for step in of_samples})
    if likeness is not None and has_chart:
        _chart(ImageDraw.Draw(sheet), likeness, sheet.width, below_px)
    if likeness is not None and grid:
        alike = {each.step: f" · {each.likeness:.0%}" for each in likeness.scores}
        _columns(sheet, below_px, grid, {step: f"step {step}{alike.get(step, '')}" for step in grid}, chosen)
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=1)  # a third of the time of 6, and about the size
    return file.getvalue()


def _columns(
    sheet: Image.Image,
    top: int,
    pictures: Mapping[int, Sequence[bytes]],
    labels: Mapping[int, str],
    chosen: int | None = None,
) -> None:
    """Draw pictures of steps, those of one step in a column, its label beneath; frame the chosen one."""
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for place, (step, column) in enumerate(pictures.items()):
        left, low = place * TILE_PX, top + len(column) * TILE_PX
        for row, picture in enumerate(column):
            tile = _tile(picture)
            middle = (left + (TILE_PX - tile.width) // 2, top + row * TILE_PX + (TILE_PX - tile.height) // 2)
            sheet.paste(tile, middle)
        if step == chosen:
            pen.rectangle((left, top, left + TILE_PX - 1, low - 1), outline=_GREEN, width=_FRAME_PX)
        ink = _GREEN if step == chosen else "black"
        pen.text((left + TILE_PX / 2, low + LABEL_PX / 2), labels[step], ink, font, anchor="mm")


def _tile(picture: bytes) -> Image.Image:
    with Image.open(io.BytesIO(picture)) as opened:
        tile = opened.convert("RGB")
    # Small pictures are enlarged in whole steps, so that their pixels stay sharp.
    grow = max(1, TILE_PX // max(tile.size))
    tile = tile.resize((tile.width * grow, tile.height * grow), Image.Resampling.NEAREST)
    tile.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    return tile


def _chart(pen: ImageDraw.ImageDraw, likeness: LikenessReport, width_px: int, bottom: int) -> None:
    """Draw likeness over steps, the chosen one marked."""
    font, low = ImageFont.load_default(14), bottom - _MARGIN_PX
    high_px, wide_px = CHART_PX - 2 * _MARGIN_PX, width_px - 2 * _MARGIN_PX
    first, last = likeness.scores[0].step, likeness.scores[-1].step
    places = [
        (_MARGIN_PX + wide_px * (each.step - first) / (last - first), low - high_px * each.likeness)
        for each in likeness.scores
    ]
    for share in (0.0, 0.5, 1.0):
        y = low - high_px * share
        pen.line((_MARGIN_PX, y, width_px - _MARGIN_PX, y), _GRID)
        pen.text((_MARGIN_PX - 6, y), f"{share:.0%}", _FAINT, font, anchor="rm")
    pen.line(places, _BLUE, 3)
    for (x, y), each in zip(places, likeness.scores, strict=True):
        is_chosen = each.step == likeness.chosen
        size = 7 if is_chosen else 4
        pen.ellipse((x - size, y - size, x + size, y + size), _GREEN if is_chosen else _BLUE)
        pen.text((x, low + 6), str(each.step), _FAINT, font, anchor="mt")


def evenly(steps: list[int], wanted: int | None = None) -> list[int]:
    """Choose at most MAX_TILES of them, the first and the last among them, and the one that is wanted."""
    if len(steps) <= MAX_TILES:
        return steps
    last = len(steps) - 1
    found = [steps[round(number * last / (MAX_TILES - 1))] for number in range(MAX_TILES)]
    if wanted in steps and wanted not in found:
        nearest = min(range(1, MAX_TILES - 1), key=lambda place: abs(found[place] - wanted))
        found[nearest] = wanted
    return found
