"""Say what trainings take on a card: `python -m benchmarks.card`. It measures where there is a card."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks import lab, machine
from benchmarks.card.counts import FAMILIES
from benchmarks.card.device_guard import CannotCount
from benchmarks.card.session import time_session
from benchmarks.card.table import (
    GIB,
    UNCOUNTED_GIB,
    WORKS,
    CountedWork,
    build_rows,
    count_works,
    format_markdown,
)
from benchmarks.measure import ROOT, NotMeasured, spread
from benchmarks.rows import FigureRow, Goal, format_table

PAGE = ROOT / "docs" / "models.md"
_MARKERS = (
    "<!-- {family} table: made by `python -m benchmarks.card --family {family} --write` -->",
    "<!-- end of {family} table -->",
)
_SIDE_PX = 512


def main(argv: Sequence[str] | None = None) -> int:
    """Count, measure where there is a card, and print rows and table."""
    parser = argparse.ArgumentParser(prog="benchmarks.card", description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, default="sd15", help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    counted: list[CountedWork] = []
    try:
        counted = count_works(WORKS[args.family])
    except CannotCount as error:
        print(f"bench: nothing is counted: {error}")
    rows = build_rows(counted)
    if torch.cuda.is_available():
        rows += measure_rows(counted)
    for row in rows:
        print(row.format_line())
    print(f"\n{format_table(rows)}\n")
    if counted:
        print(format_markdown(counted))
    if args.write and counted:
        PAGE.write_text(
            replace_table(PAGE.read_text("utf-8"), args.family, format_markdown(counted)), "utf-8"
        )
    return 0


def replace_table(page: str, family: str, table: str) -> str:
    """Return the page with this table between the markers of its family."""
    start, end = (marker.format(family=family) for marker in _MARKERS)
    pattern = f"{re.escape(start)}.*{re.escape(end)}"
    return re.sub(pattern, lambda _: f"{start}\n{table}\n{end}", page, flags=re.DOTALL)


def measure_rows(counted: Sequence[CountedWork]) -> list[FigureRow]:
    """Measure on the card; a figure that cannot be measured is a row with its reason."""
    bench_dir = Path(os.environ.get("BENCH_DIR") or "build/bench").absolute()
    try:
        description = machine.describe()
        print("\n".join(description.lines()), flush=True)
        model = lab.build_model(bench_dir)
        card_lab = lab.ProcessLab(bench_dir, model, description, os.environ, side_px=_SIDE_PX)
        run = card_lab.card()
        session = time_session(model, _SIDE_PX)
    except NotMeasured as error:
        return [FigureRow("card-measured", "figures of this card", "-", Goal("<=", 0), None, str(error))]
    forecast = next((each for each in counted if each.work.name == "512"), None)
    forecast_gib = forecast.training.reserved_bytes / GIB + UNCOUNTED_GIB if forecast else 0.0
    work_note = ""
    if forecast:
        training = forecast.training
        work = f"{training.flops / 1e12:.2f} TFLOP, {training.moved_bytes / 1e9:.0f} GB"
        work_note = f"; {training.kernels} kernels, {work}"
    peak_note = f"forecast {forecast_gib:.1f} GiB in half precision"
    pictures_note = f"the second {session.second_pictures_s:.1f} s"
    return [
        _row("step", "a training step", "s", "<= 1", median(run.steps_s), spread(run.steps_s) + work_note),
        _row("peak", "most memory", "GiB", f"<= {forecast_gib:.2f}", run.peak_bytes / GIB, peak_note),
        _row("idle", "card idle between steps", "%", "< 3", run.idle_percent, run.precision),
        _row("first-pictures", "first --n 4", "s", "<= 60", session.first_pictures_s, pictures_note),
        _row("cancel", "cancel of a training", "s", "<= 2", session.cancel_s),
        _row("wake-up", "start to base model loaded", "s", "<= 30", session.wake_up_s),
    ]


def _row(name: str, what: str, unit: str, goal: str, value: float, note: str = "") -> FigureRow:
    return FigureRow(f"card-measured-{name}", what, unit, Goal.parse(goal), value, note)


if __name__ == "__main__":
    sys.exit(main())
