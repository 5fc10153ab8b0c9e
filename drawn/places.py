"""The six places, drawn behind a person in shares of the picture's side."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from drawn.canvas import DrawingCanvas, arc
from drawn.people import Rgb


def draw_place(canvas: DrawingCanvas, place: str, rng: Random) -> None:
    """Fill the canvas with a place; `rng` settles horizon, trees, houses and stars."""
    _PAINTERS[place](canvas, rng)


def _band(canvas: DrawingCanvas, top: float, bottom: float, rgb: Rgb) -> None:
    canvas.polygon([(0, top), (1, top), (1, bottom), (0, bottom)], rgb)


def _beach(canvas: DrawingCanvas, rng: Random) -> None:
    sea, sand = rng.uniform(0.42, 0.5), rng.uniform(0.62, 0.7)
    _band(canvas, 0, sea, (136, 214, 250))
    _band(canvas, sea, sand, (20, 132, 196))
    _band(canvas, sand, 1, (246, 220, 150))
    canvas.ellipse((rng.choice((0.14, 0.86)), 0.16), (0.1, 0.1), (255, 236, 90))


def _forest(canvas: DrawingCanvas, rng: Random) -> None:
    _band(canvas, 0, 0.74, (96, 170, 90))
    _band(canvas, 0.74, 1, (54, 110, 44))
    for x in (0.06, 0.24, 0.76, 0.94):
        left = x + rng.uniform(-0.05, 0.05)
        canvas.polygon(
            [(left - 0.03, 0.4), (left + 0.03, 0.4), (left + 0.03, 0.8), (left - 0.03, 0.8)], (90, 56, 30)
        )
        top = rng.uniform(0.02, 0.16)
        canvas.polygon([(left, top), (left + 0.14, 0.58), (left - 0.14, 0.58)], (18, 88, 40))


def _city(canvas: DrawingCanvas, rng: Random) -> None:
    _band(canvas, 0, 1, (214, 196, 222))
    for i in range(5):
        left, top = i * 0.2, rng.uniform(0.1, 0.42)
        grey = rng.choice(((92, 92, 112), (122, 116, 138), (74, 78, 98)))
        canvas.polygon([(left, top), (left + 0.18, top), (left + 0.18, 0.86), (left, 0.86)], grey)
        for row in range(3):
            y = top + 0.07 + row * 0.14
            canvas.polygon(
                [(left + 0.04, y), (left + 0.14, y), (left + 0.14, y + 0.06), (left + 0.04, y + 0.06)],
                (255, 224, 120),
            )
    _band(canvas, 0.86, 1, (70, 70, 76))


def _mars(canvas: DrawingCanvas, rng: Random) -> None:
    ground = rng.uniform(0.58, 0.66)
    _band(canvas, 0, ground, (250, 176, 120))
    canvas.ellipse((rng.choice((0.14, 0.86)), 0.15), (0.06, 0.06), (255, 240, 220))
    peak = rng.choice((0.14, 0.86))
    canvas.polygon([(peak - 0.24, ground), (peak, ground - 0.2), (peak + 0.24, ground)], (176, 74, 44))
    _band(canvas, ground, 1, (200, 84, 44))
    for x in (0.1, 0.9):
        canvas.ellipse((x + rng.uniform(-0.05, 0.05), rng.uniform(0.74, 0.92)), (0.1, 0.04), (138, 50, 30))


def _snow(canvas: DrawingCanvas, rng: Random) -> None:
    ground = rng.uniform(0.6, 0.68)
    _band(canvas, 0, ground, (186, 206, 226))
    for x in (0.1, 0.9):
        peak = x + rng.uniform(-0.08, 0.08)
        top = rng.uniform(0.2, 0.32)
        canvas.polygon([(peak - 0.26, ground), (peak, top), (peak + 0.26, ground)], (120, 146, 178))
        canvas.polygon([(peak - 0.08, top + 0.12), (peak, top), (peak + 0.08, top + 0.12)], (252, 252, 255))
    _band(canvas, ground, 1, (250, 252, 255))


def _space(canvas: DrawingCanvas, rng: Random) -> None:
    _band(canvas, 0, 1, (18, 14, 48))
    for _ in range(9):
        x, y, size = rng.random(), rng.uniform(0, 0.9), rng.choice((0.014, 0.02))
        canvas.ellipse((x, y), (size, size), (255, 255, 230))
    x, y = rng.choice((0.16, 0.84)), rng.uniform(0.14, 0.24)
    canvas.ellipse((x, y), (0.1, 0.1), (230, 150, 90))
    canvas.line(arc((x, y), (0.16, 0.04), 0, 180), 0.02, (250, 220, 160))


_PAINTERS: dict[str, Callable[[DrawingCanvas, Random], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "mars": _mars,
    "snow": _snow,
    "space": _space,
}
