"""Measure how fast and how small training is: `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import lab, machine
from benchmarks.figures import FIGURES, chosen
from benchmarks.machine import Machine
from benchmarks.measure import NotMeasured
from benchmarks.notebook import Notebook
from benchmarks.rows import Row, table

DEFAULT_DIR = "build/bench"
#: A machine whose speed changed by more than this between start and end gives no comparable figures.
_STEADY = 0.1


def arguments(line: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    names = ", ".join(figure.name for figure in FIGURES)
    parser.add_argument("--only", metavar="NAME", help=f"one row: {names}")
    parser.add_argument("--out", type=Path, help="folder of results.json (default: BENCH_DIR)")
    parser.add_argument(
        "--quick", action="store_true", help="256 px and few steps: shows that it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of us and the peer in turn (default: 2)")
    asked = parser.parse_args(line)
    try:
        asked.figures = chosen(asked.only or None)
    except ValueError as error:
        parser.error(str(error))
    return asked


def main(line: Sequence[str] | None = None) -> int:
    """Measure the rows, print each as it comes and all as a table, and write them as JSON."""
    asked = arguments(line)
    # Absolute: programs are run in other folders.
    bench_dir = Path(os.environ.get("BENCH_DIR") or DEFAULT_DIR).absolute()
    try:
        model = lab.build_model(bench_dir)
        found = machine.describe()
    except NotMeasured as failure:
        print(f"bench: nothing can be measured: {failure}", file=sys.stderr)
        return 1
    print("\n".join(found.lines()), flush=True)
    size: dict[str, Any] = {"side_px": 256, "steps": 2, "pause_s": 1.0} if asked.quick else {}
    book = Notebook(
        lab.RealLab(bench_dir, model, found, os.environ, **size), rounds=1 if asked.quick else asked.rounds
    )
    rows = []
    for figure in asked.figures:
        rows.append(figure.row(book))
        print(rows[-1].line(), flush=True)
    print(f"\n{table(rows)}\n")
    print("\n".join([*found.lines(), *_changes(found), *_warnings(asked.quick)]))
    # A single row, or a quick look, does not take the place of the whole table.
    name = "-".join(["results", *filter(None, [asked.only]), *(["quick"] * asked.quick)])
    write((asked.out or bench_dir) / f"{name}.json", found, rows, book.raw(), asked.quick)
    return 0


def _changes(before: Machine) -> list[str]:
    """Measure the machine's speed again: a throttled host shows here."""
    now = machine.matmul()
    told = f"at the end: {now['fp32']:.0f} GFLOP/s fp32, {now['bf16']:.0f} GFLOP/s bf16"
    pairs = ((now["fp32"], before.fp32_gflops), (now["bf16"], before.bf16_gflops))
    if any(abs(after / first - 1) > _STEADY for after, first in pairs):
        told += " - the machine's speed changed, so only figures taken in turn can be compared"
    return [told]


def _warnings(quick: bool) -> list[str]:
    return ["--quick: 256 px and few steps; no figure here counts"] if quick else []


def write(path: Path, found: Machine, rows: list[Row], raw: dict[str, Any], quick: bool) -> None:
    """Write the machine, the rows, and every single measurement."""
    told = {
        "machine": found.as_json(),
        "quick": quick,
        "rows": [{**asdict(row), "goal": str(row.goal), "verdict": row.verdict.value} for row in rows],
        "measured": raw,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
