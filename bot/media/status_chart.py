"""The last day as one picture: what waited, what the card did, what was done and what failed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from PIL import Image, ImageDraw, ImageFont

from bot.core.jobs import JobKind
from bot.core.monitoring import Sample

HOURS = 24
#: Where samples are further apart than this, the bot was off, and no line is drawn. A day has one every four
#: minutes (`Ledger.peaks_since`); a pixel is one and a half.
GAP = timedelta(minutes=6)
WIDTH_PX, PANEL_PX, MARGIN_PX = 960, 200, 56
_PLOT_TOP_PX, _PLOT_BOTTOM_PX = 40, 176  # inside a panel
_INK, _FAINT, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_BLUE, _ORANGE, _GREEN, _RED = "#2563eb", "#ea8a1a", "#16a34a", "#dc2626"


@dataclass(frozen=True, slots=True)
class Day:
    """The 24 hours before `until`; `done` and `failed` count the jobs that ended in each of them."""

    until: datetime
    samples: Sequence[Sample]
    done: Sequence[int]
    failed: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Line:
    """What a line shows, in which colour, and its value at a sample; None: not known then."""

    label: str
    colour: str
    value: Callable[[Sample], float | None]


_WAITING = (
    _Line("trainings", _BLUE, lambda sample: sample.waiting[JobKind.TRAIN]),
    _Line("pictures", _ORANGE, lambda sample: sample.waiting[JobKind.GENERATE]),
)
_CARD = (
    _Line("use", _GREEN, lambda sample: sample.load_percent),
    _Line("memory", _BLUE, lambda sample: sample.memory_percent),
)


def drawn(day: Day) -> bytes:
    """Draw a day; gives a PNG."""
    picture = Image.new("RGB", (WIDTH_PX, 3 * PANEL_PX), "white")
    most = max((max(sample.waiting.values()) for sample in day.samples), default=0)
    _Panel(picture, 0, "Waiting (times in UTC)", day.until, _round_up(most)).lines(day.samples, _WAITING)
    _Panel(picture, 1, "GPU, %", day.until, 100).lines(day.samples, _CARD)
    ended = [done + failed for done, failed in zip(day.done, day.failed, strict=True)]
    _Panel(picture, 2, "Jobs ended, each hour", day.until, _round_up(max(ended, default=0))).bars(day)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


class _Panel:
    """One of the three plots, `top` (a value) high and a day wide."""

    def __init__(self, picture: Image.Image, number: int, title: str, until: datetime, top: int) -> None:
        self._pen = ImageDraw.Draw(picture)
        self._font = ImageFont.load_default(14)
        self._y_px = number * PANEL_PX
        self._until, self._top = until, top
        self._legend_px = WIDTH_PX - MARGIN_PX
        self._pen.text((MARGIN_PX, self._y_px + 12), title, _INK, ImageFont.load_default(16))
        self._grid()

    def lines(self, samples: Sequence[Sample], lines: Sequence[_Line]) -> None:
        """Draw lines over the day, broken where nothing is known."""
        for line in reversed(lines):
            self._name(line.label, line.colour)
        for line in lines:
            for run in _runs(samples, line.value):
                points = [(self._x(at), self._y(value)) for at, value in run]
                self._pen.line([*points, points[-1]], line.colour, 2)  # a lone point is a point too

    def bars(self, day: Day) -> None:
        """Draw what was done, and on top of it what failed, an hour a bar."""
        self._name("failed", _RED)
        self._name("done", _GREEN)
        for hour, (done, failed) in enumerate(zip(day.done, day.failed, strict=True)):
            start = day.until - timedelta(hours=HOURS - hour)
            left, right = self._x(start) + 3, self._x(start + timedelta(hours=1)) - 3
            for low, high, colour in ((0, done, _GREEN), (done, done + failed, _RED)):
                if high > low:
                    self._pen.rectangle((left, self._y(high), right, self._y(low)), colour)

    def _grid(self) -> None:
        for value in (0, self._top / 2, self._top):
            y = self._y(value)
            self._pen.line((MARGIN_PX, y, WIDTH_PX - MARGIN_PX, y), _GRID)
            self._pen.text((MARGIN_PX - 8, y), f"{value:g}", _FAINT, self._font, anchor="rm")
        for hours in range(0, HOURS + 1, 6):
            at = self._until - timedelta(hours=hours)
            x = self._x(at)
            self._pen.line((x, self._y(0), x, self._y(self._top)), _GRID)
            self._pen.text((x, self._y(0) + 8), f"{at:%H:%M}", _FAINT, self._font, anchor="mt")

    def _name(self, label: str, colour: str) -> None:
        self._pen.text((self._legend_px, self._y_px + 14), label, colour, self._font, anchor="rt")
        self._legend_px -= int(self._pen.textlength(label, self._font)) + 16

    def _x(self, at: datetime) -> float:
        share = 1 - (self._until - at) / timedelta(hours=HOURS)
        return MARGIN_PX + min(1.0, max(0.0, share)) * (WIDTH_PX - 2 * MARGIN_PX)

    def _y(self, value: float) -> float:
        high = _PLOT_BOTTOM_PX - _PLOT_TOP_PX
        return self._y_px + _PLOT_BOTTOM_PX - min(1.0, value / self._top) * high


def _runs(
    samples: Sequence[Sample], value: Callable[[Sample], float | None]
) -> list[list[tuple[datetime, float]]]:
    """Split samples where the value is not known, or where there were none for a while."""
    runs: list[list[tuple[datetime, float]]] = []
    last: datetime | None = None
    for sample in samples:
        known = value(sample)
        if known is None:
            last = None
            continue
        if last is None or sample.at - last > GAP:
            runs.append([])
        runs[-1].append((sample.at, known))
        last = sample.at
    return runs


def _round_up(most: float) -> int:
    """Give the height of a plot: 2, 4, 10, 20, 40, 100 and so on, so that its half is a whole number too."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if most <= step * scale:
                return step * scale
        scale *= 10
