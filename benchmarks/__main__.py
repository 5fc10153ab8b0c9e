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
from benchmarks.figures import FIGURES, select_figures
from benchmarks.machine import Machine
from benchmarks.measure import NotMeasured
from benchmarks.notebook import RunCache
from benchmarks.rows import FigureRow, format_table

DEFAULT_DIR = "build/bench"
#: A machine whose speed changed by more than this between start and end gives no comparable figures.
_MAX_SPEED_CHANGE = 0.1


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    names = ", ".join(figure.name for figure in FIGURES)
    parser.add_argument("--only", metavar="NAME", help=f"one row: {names}")
    parser.add_argument("--out", type=Path, help="folder of results.json (default: BENCH_DIR)")
    parser.add_argument(
        "--quick", action="store_true", help="256 px and few steps: shows that it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of us and the peer in turn (default: 2)")
    args = parser.parse_args(argv)
    try:
        args.figures = select_figures(args.only or None)
    except ValueError as error:
        parser.error(str(error))
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the rows, print each as it comes and all as a table, and write them as JSON."""
    args = parse_arguments(argv)
    # Absolute: programs are run in other folders.
    bench_dir = Path(os.environ.get("BENCH_DIR") or DEFAULT_DIR).absolute()
    try:
        needs_model = any(figure.needs_model for figure in args.figures)
        model = lab.build_model(bench_dir) if needs_model else bench_dir
        machine_info = machine.describe()
    except NotMeasured as error:
        print(f"bench: nothing can be measured: {error}", file=sys.stderr)
        return 1
    print("\n".join(machine_info.lines()), flush=True)
    lab_options: dict[str, Any] = {"side_px": 256, "steps": 2, "pause_s": 1.0} if args.quick else {}
    run_cache = RunCache(
        lab.ProcessLab(bench_dir, model, machine_info, os.environ, **lab_options),
        rounds=1 if args.quick else args.rounds,
    )
    rows = []
    for figure in args.figures:
        rows.append(figure.measure_row(run_cache))
        print(rows[-1].format_line(), flush=True)
    print(f"\n{format_table(rows)}\n")
    print("\n".join([*machine_info.lines(), *_remeasure_machine(machine_info), *_warnings(args.quick)]))
    # A single row, or a quick look, does not take the place of the whole table.
    name = "-".join(["results", *filter(None, [args.only]), *(["quick"] * args.quick)])
    write_results(
        (args.out or bench_dir) / f"{name}.json", machine_info, rows, run_cache.as_json(), args.quick
    )
    return 0


def _remeasure_machine(before: Machine) -> list[str]:
    """Measure the machine's speed again: a throttled host shows here."""
    speeds = machine.matmul()
    summary = f"at the end: {speeds['fp32']:.0f} GFLOP/s fp32, {speeds['bf16']:.0f} GFLOP/s bf16"
    pairs = ((speeds["fp32"], before.fp32_gflops), (speeds["bf16"], before.bf16_gflops))
    if any(abs(after / first - 1) > _MAX_SPEED_CHANGE for after, first in pairs):
        summary += " - the machine's speed changed, so only figures taken in turn can be compared"
    return [summary]


def _warnings(quick: bool) -> list[str]:
    return ["--quick: 256 px and few steps; no figure here counts"] if quick else []


def write_results(
    path: Path, machine_info: Machine, rows: list[FigureRow], raw: dict[str, Any], quick: bool
) -> None:
    """Write the machine, the rows, and every single measurement."""
    document = {
        "machine": machine_info.as_json(),
        "quick": quick,
        "rows": [{**asdict(row), "goal": str(row.goal), "verdict": row.verdict.value} for row in rows],
        "measured": raw,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
