"""The picture of a day: every figure is where it belongs, and what is not known is not drawn."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from PIL import Image, ImageColor

from bot.core.jobs import JobKind
from bot.core.monitoring import MonitorSample
from bot.media import status_chart
from bot.texts.language import ENGLISH, use_language

NOW = datetime(2030, 1, 2, 12, tzinfo=UTC)
ORANGE, GREEN, BLUE, RED = (ImageColor.getrgb(each) for each in ("#ea8a1a", "#16a34a", "#2563eb", "#dc2626"))
NONE = [0] * status_chart.HOURS


def sample(
    hours_ago: float, waiting: int = 0, load: int | None = None, memory: int | None = None
) -> MonitorSample:
    return MonitorSample(
        at=NOW - timedelta(hours=hours_ago),
        queued_counts={JobKind.TRAIN: 0, JobKind.GENERATE: waiting},
        load_percent=load,
        memory_used_bytes=memory,
        memory_total_bytes=None if memory is None else 100,
    )


def day(
    samples: list[MonitorSample], done: list[int] | None = None, failed: list[int] | None = None
) -> Image.Image:
    png = status_chart.render_chart(status_chart.DayStatistics(NOW, samples, done or NONE, failed or NONE))
    with Image.open(io.BytesIO(png)) as opened:
        return opened.convert("RGB")


def where(picture: Image.Image, panel: int, colour: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """The box around all of a colour in a panel's plot, below its legend."""
    plot = picture.crop((0, panel * 200 + 36, picture.width, panel * 200 + 180))
    pixels = plot.load()
    assert pixels is not None
    found = [(x, y) for x in range(plot.width) for y in range(plot.height) if pixels[x, y] == colour]
    if not found:
        return None
    xs, ys = zip(*found, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def test_a_longer_queue_stands_higher_and_a_later_one_further_right() -> None:
    early = where(day([sample(23), sample(22.99, 10), sample(22.95, 0)]), 0, ORANGE)
    late = where(day([sample(1), sample(0.99, 4), sample(0.95, 0), sample(0.94, 10)]), 0, ORANGE)
    low = where(day([sample(1, 2), sample(0.9, 2), sample(0.5, 9)]), 0, ORANGE)
    assert early is not None
    assert late is not None
    assert low is not None
    assert early[2] < 200 < 700 < late[0]
    assert low[3] > early[1]


def test_use_and_memory_of_the_card_are_lines_of_their_own() -> None:
    picture = day([sample(hours / 60, load=100, memory=50) for hours in range(60, 0, -1)])
    use, memory = where(picture, 1, GREEN), where(picture, 1, BLUE)
    assert use is not None
    assert memory is not None
    assert use[3] < memory[1]


def test_unknown_figures_are_not_plotted_and_a_pause_is_a_gap() -> None:
    assert where(day([sample(2), sample(1)]), 1, GREEN) is None
    picture = day([sample(20, load=50), sample(19.99, load=50), sample(1.01, load=50), sample(1, load=50)])
    row = [x for x in range(300, 700) if any(picture.getpixel((x, y)) == GREEN for y in range(240, 380))]
    assert row == []


def test_done_and_failed_jobs_stand_on_each_other_in_their_hour() -> None:
    done, failed = list(NONE), list(NONE)
    done[23], failed[23], failed[0] = 6, 4, 10
    picture = day([], done, failed)
    green, red = where(picture, 2, GREEN), where(picture, 2, RED)
    assert green is not None
    assert red is not None
    assert green[0] > 850
    assert red[0] < 60 + 40
    assert red[1] < green[1]


def test_a_day_of_nothing_can_be_drawn() -> None:
    assert day([]).size == (status_chart.WIDTH_PX, 3 * status_chart.PANEL_PX)


def test_titles_and_legends_are_in_the_language_of_who_asks() -> None:
    pictures = []
    for language in (ENGLISH, "it"):
        with use_language(language):
            pictures.append(day([]))
    titles, legends = (50, 400), (560, 910)
    for panel in (0, 1, 2):
        for left, right in (titles, legends):
            box = (left, panel * 200, right, panel * 200 + 36)
            english, italian = (picture.crop(box).tobytes() for picture in pictures)
            is_gpu_title = (panel, left) == (1, titles[0])  # one word in both
            assert (english == italian) == is_gpu_title, box
