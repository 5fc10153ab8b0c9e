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
    sample_columns = {step: [samples[step]] for step in pick_evenly(sorted(samples))}
    candidate_columns, chosen_step = dict(candidates or {}), None if likeness is None else likeness.chosen
    candidate_columns = {
        step: candidate_columns[step] for step in pick_evenly(sorted(candidate_columns), chosen_step)
    }
    has_chart = likeness is not None and len(likeness.scores) > 1
    max_rows = max((len(pictures) for pictures in candidate_columns.values()), default=0)
    candidates_top_px = (TILE_PX + LABEL_PX if sample_columns else 0) + (CHART_PX if has_chart else 0)
    height_px = candidates_top_px + (max_rows * TILE_PX + LABEL_PX if candidate_columns else 0)
    sheet = Image.new(
        "RGB", (TILE_PX * max(1, len(sample_columns), len(candidate_columns)), max(1, height_px)), "white"
    )
    _draw_columns(sheet, 0, sample_columns, {step: f"step {step}" for step in sample_columns})
    if likeness is not None and has_chart:
        _draw_chart(ImageDraw.Draw(sheet), likeness, sheet.width, candidates_top_px)
    if likeness is not None and candidate_columns:
        likeness_labels = {each.step: f" · {each.likeness:.0%}" for each in likeness.scores}
        _draw_columns(
            sheet,
            candidates_top_px,
            candidate_columns,
            {step: f"step {step}{likeness_labels.get(step, '')}" for step in candidate_columns},
            chosen_step,
        )
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=1)  # a third of the time of 6, and about the size
    return buffer.getvalue()


def _draw_columns(
    sheet: Image.Image,
    top_px: int,
    columns: Mapping[int, Sequence[bytes]],
    labels: Mapping[int, str],
    chosen_step: int | None = None,
) -> None:
    """Draw pictures of steps, those of one step in a column, its label beneath; frame the chosen one."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for index, (step, column) in enumerate(columns.items()):
        left_px, bottom_px = index * TILE_PX, top_px + len(column) * TILE_PX
        for row, picture in enumerate(column):
            tile = _make_tile(picture)
            position = (
                left_px + (TILE_PX - tile.width) // 2,
                top_px + row * TILE_PX + (TILE_PX - tile.height) // 2,
            )
            sheet.paste(tile, position)
        if step == chosen_step:
            draw.rectangle(
                (left_px, top_px, left_px + TILE_PX - 1, bottom_px - 1), outline=_GREEN, width=_FRAME_PX
            )
        text_colour = _GREEN if step == chosen_step else "black"
        draw.text(
            (left_px + TILE_PX / 2, bottom_px + LABEL_PX / 2), labels[step], text_colour, font, anchor="mm"
        )


def _make_tile(picture: bytes) -> Image.Image:
    with Image.open(io.BytesIO(picture)) as image:
        tile = image.convert("RGB")
    # Small pictures are enlarged in whole steps, so that their pixels stay sharp.
    scale = max(1, TILE_PX // max(tile.size))
    tile = tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)
    tile.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    return tile


def _draw_chart(draw: ImageDraw.ImageDraw, likeness: LikenessReport, width_px: int, bottom_px: int) -> None:
    """Draw likeness over steps, the chosen one marked."""
    font, axis_y_px = ImageFont.load_default(14), bottom_px - _MARGIN_PX
    plot_height_px, plot_width_px = CHART_PX - 2 * _MARGIN_PX, width_px - 2 * _MARGIN_PX
    first_step, last_step = likeness.scores[0].step, likeness.scores[-1].step
    points = [
        (
            _MARGIN_PX + plot_width_px * (each.step - first_step) / (last_step - first_step),
            axis_y_px - plot_height_px * each.likeness,
        )
        for each in likeness.scores
    ]
    for fraction in (0.0, 0.5, 1.0):
        y = axis_y_px - plot_height_px * fraction
        draw.line((_MARGIN_PX, y, width_px - _MARGIN_PX, y), _GRID)
        draw.text((_MARGIN_PX - 6, y), f"{fraction:.0%}", _FAINT, font, anchor="rm")
    draw.line(points, _BLUE, 3)
    for (x, y), each in zip(points, likeness.scores, strict=True):
        is_chosen = each.step == likeness.chosen
        radius_px = 7 if is_chosen else 4
        draw.ellipse(
            (x - radius_px, y - radius_px, x + radius_px, y + radius_px), _GREEN if is_chosen else _BLUE
        )
        draw.text((x, axis_y_px + 6), str(each.step), _FAINT, font, anchor="mt")


def pick_evenly(steps: list[int], required_step: int | None = None) -> list[int]:
    """Choose at most MAX_TILES of them, the first and the last among them, and the one that is wanted."""
    if len(steps) <= MAX_TILES:
        return steps
    last_index = len(steps) - 1
    picked_steps = [steps[round(number * last_index / (MAX_TILES - 1))] for number in range(MAX_TILES)]
    if required_step in steps and required_step not in picked_steps:
        nearest = min(range(1, MAX_TILES - 1), key=lambda index: abs(picked_steps[index] - required_step))
        picked_steps[nearest] = required_step
    return picked_steps
