"""The last day as one picture: what waited, what the card did, what was done and what failed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from PIL import Image, ImageDraw, ImageFont

from bot.core.jobs import JobKind
from bot.core.monitoring import MonitorSample
from bot.texts.language import translate

HOURS = 24
#: Where samples are further apart than this, the bot was off, and no line is drawn. A day has one every four
#: minutes (`Database.peaks_since`); a pixel is one and a half.
MAX_GAP = timedelta(minutes=6)
WIDTH_PX, PANEL_PX, MARGIN_PX = 960, 200, 56
_PLOT_TOP_PX, _PLOT_BOTTOM_PX = 40, 176  # inside a panel
_INK, _FAINT, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_BLUE, _ORANGE, _GREEN, _RED = "#2563eb", "#ea8a1a", "#16a34a", "#dc2626"


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """The 24 hours before `until`; `done` and `failed` count the jobs that ended in each of them."""

    until: datetime
    samples: Sequence[MonitorSample]
    done_per_hour: Sequence[int]
    failed_per_hour: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Series:
    """What a line shows, in which colour, and its value at a sample; None: not known then."""

    label_key: str  #: of the texts
    colour: str
    get_value: Callable[[MonitorSample], float | None]


_QUEUE_SERIES = (
    _Series("chart-trainings", _BLUE, lambda sample: sample.queued_counts[JobKind.TRAIN]),
    _Series("chart-pictures", _ORANGE, lambda sample: sample.queued_counts[JobKind.GENERATE]),
)
_GPU_SERIES = (
    _Series("chart-use", _GREEN, lambda sample: sample.load_percent),
    _Series("chart-memory", _BLUE, lambda sample: sample.memory_percent),
)


def render_chart(day: DayStatistics) -> bytes:
    """Draw a day, with words in the current language; gives a PNG."""
    image = Image.new("RGB", (WIDTH_PX, 3 * PANEL_PX), "white")
    max_waiting = max((max(sample.queued_counts.values()) for sample in day.samples), default=0)
    _Panel(image, 0, translate("chart-waiting"), day.until, _axis_maximum(max_waiting)).draw_lines(
        day.samples, _QUEUE_SERIES
    )
    _Panel(image, 1, translate("chart-card"), day.until, 100).draw_lines(day.samples, _GPU_SERIES)
    ended_per_hour = [
        done + failed for done, failed in zip(day.done_per_hour, day.failed_per_hour, strict=True)
    ]
    _Panel(
        image, 2, translate("chart-ended"), day.until, _axis_maximum(max(ended_per_hour, default=0))
    ).draw_bars(day)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class _Panel:
    """One of the three plots, `top` (a value) high and a day wide."""

    def __init__(self, image: Image.Image, number: int, title: str, until: datetime, max_value: int) -> None:
        self._draw = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(14)
        self._top_px = number * PANEL_PX
        self._until, self._max_value = until, max_value
        self._legend_px = WIDTH_PX - MARGIN_PX
        self._draw.text((MARGIN_PX, self._top_px + 12), title, _INK, ImageFont.load_default(16))
        self._draw_grid()

    def draw_lines(self, samples: Sequence[MonitorSample], series_list: Sequence[_Series]) -> None:
        """Draw lines over the day, broken where nothing is known."""
        for series in reversed(series_list):
            self._add_legend(translate(series.label_key), series.colour)
        for series in series_list:
            for run in _split_runs(samples, series.get_value):
                points = [(self._x(time), self._y(value)) for time, value in run]
                self._draw.line([*points, points[-1]], series.colour, 2)  # a lone point is a point too

    def draw_bars(self, day: DayStatistics) -> None:
        """Draw what was done, and on top of it what failed, an hour a bar."""
        self._add_legend(translate("chart-failed"), _RED)
        self._add_legend(translate("chart-done"), _GREEN)
        for hour, (done, failed) in enumerate(zip(day.done_per_hour, day.failed_per_hour, strict=True)):
            start = day.until - timedelta(hours=HOURS - hour)
            left, right = self._x(start) + 3, self._x(start + timedelta(hours=1)) - 3
            for start_count, end_count, colour in ((0, done, _GREEN), (done, done + failed, _RED)):
                if end_count > start_count:
                    self._draw.rectangle((left, self._y(end_count), right, self._y(start_count)), colour)

    def _draw_grid(self) -> None:
        for value in (0, self._max_value / 2, self._max_value):
            y = self._y(value)
            self._draw.line((MARGIN_PX, y, WIDTH_PX - MARGIN_PX, y), _GRID)
            self._draw.text((MARGIN_PX - 8, y), f"{value:g}", _FAINT, self._font, anchor="rm")
        for hours in range(0, HOURS + 1, 6):
            time = self._until - timedelta(hours=hours)
            x = self._x(time)
            self._draw.line((x, self._y(0), x, self._y(self._max_value)), _GRID)
            self._draw.text((x, self._y(0) + 8), f"{time:%H:%M}", _FAINT, self._font, anchor="mt")

    def _add_legend(self, label: str, colour: str) -> None:
        self._draw.text((self._legend_px, self._top_px + 14), label, colour, self._font, anchor="rt")
        self._legend_px -= int(self._draw.textlength(label, self._font)) + 16

    def _x(self, time: datetime) -> float:
        fraction = 1 - (self._until - time) / timedelta(hours=HOURS)
        return MARGIN_PX + min(1.0, max(0.0, fraction)) * (WIDTH_PX - 2 * MARGIN_PX)

    def _y(self, value: float) -> float:
        plot_height_px = _PLOT_BOTTOM_PX - _PLOT_TOP_PX
        return self._top_px + _PLOT_BOTTOM_PX - min(1.0, value / self._max_value) * plot_height_px


def _split_runs(
    samples: Sequence[MonitorSample], get_value: Callable[[MonitorSample], float | None]
) -> list[list[tuple[datetime, float]]]:
    """Split samples where the value is not known, or where there were none for a while."""
    runs: list[list[tuple[datetime, float]]] = []
    last_time: datetime | None = None
    for sample in samples:
        reading = get_value(sample)
        if reading is None:
            last_time = None
            continue
        if last_time is None or sample.at - last_time > MAX_GAP:
            runs.append([])
        runs[-1].append((sample.at, reading))
        last_time = sample.at
    return runs


def _axis_maximum(max_value: float) -> int:
    """Return the height of a plot: 2, 4, 10, 20, 40, 100 …, so that its half is a whole number too."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if max_value <= step * scale:
                return step * scale
        scale *= 10
