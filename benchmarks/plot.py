"""Two plain plots as SVG, with logarithmic scales: a line, and bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 70, 30, 30, 50
#: A bar and the room around it.
BAR, NAMES = 34, 190
_INK, _GRID, _MARK = "#333", "#ddd", "#2b6cb0"


def line(x_name: str, y_name: str, points: Sequence[tuple[float, float]]) -> str:
    """Draw points, each with its numbers, and a line through them."""
    x_of = _scale([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_of = _scale([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [_text(WIDTH / 2, HEIGHT - 12, x_name), _text(LEFT, TOP - 12, y_name)]
    for power in _powers([x for x, _ in points]):
        parts += [_rule(x_of(power), TOP, x_of(power), HEIGHT - BOTTOM)]
        parts += [_text(x_of(power), HEIGHT - BOTTOM + 18, f"{power:,.0f}")]
    for power in _powers([y for _, y in points]):
        parts += [_rule(LEFT, y_of(power), WIDTH - RIGHT, y_of(power))]
        parts += [_text(LEFT - 8, y_of(power) + 4, f"{power:,.0f}", "end")]
    polyline = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
    parts.append(f'<polyline points="{polyline}" fill="none" stroke="{_MARK}" stroke-width="2"/>')
    for x, y in points:
        parts.append(f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="4" fill="{_MARK}"/>')
        parts.append(_text(x_of(x) - 8, y_of(y) - 8, f"{y:,.0f}", "end"))
    return _svg(HEIGHT, parts)


def bars(name: str, values: Sequence[tuple[str, float]]) -> str:
    """Draw a bar for each value, with its name before and its number behind."""
    height = TOP + BAR * len(values) + BOTTOM
    x_of = _scale([value for _, value in values], NAMES, WIDTH - 90, zero_power=1)
    parts = [_text((NAMES + WIDTH) / 2, height - 12, name)]
    for number, (label, value) in enumerate(values):
        y = TOP + number * BAR
        length = x_of(value) - NAMES
        parts.append(f'<rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR - 10}" fill="{_MARK}"/>')
        parts += [
            _text(NAMES - 8, y + 16, label, "end"),
            _text(x_of(value) + 8, y + 16, f"{value:,.0f}", "start"),
        ]
    return _svg(height, parts)


def _scale(
    values: Sequence[float], first: float, last: float, zero_power: int = 0
) -> Callable[[float], float]:
    """Return the position of a value between two positions, on a logarithmic scale."""
    low = math.floor(math.log10(min(values))) - zero_power
    high = max(math.ceil(math.log10(max(values))), low + 1)

    def to_pixels(value: float) -> float:
        return first + (math.log10(value) - low) / (high - low) * (last - first)

    return to_pixels


def _powers(values: Sequence[float]) -> Iterator[float]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    yield from (10.0**power for power in range(low, max(high, low + 1) + 1))


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _svg(height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
    paper = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join([f'{head} font-size="13">', paper, *parts, "</svg>"]) + "\n"
