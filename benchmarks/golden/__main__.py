"""Write a golden file of trainings and pictures, or compare with one: `python -m benchmarks.golden`.

    python -m benchmarks.golden write        (in a state that is known to be right)
    python -m benchmarks.golden compare      (after a change, or with --repo for another checkout)

Programs are started and never imported: `kohya-scripts/train_network.py`, and the console program that
`pyproject.toml` names, which plays the demo through bot and worker. Hashes hold for one machine and one set
of libraries. Both are noted in the file, and `compare` prints where they differ.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.golden.cases import CASES, run_case
from benchmarks.golden.inputs import write_inputs
from benchmarks.golden.outputs import describe_differences, list_changes
from benchmarks.golden.program import CaseError, Checkout

DEFAULT_FILE = Path("build/bench/golden.json")
_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow", "lion-pytorch", "prodigyopt")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases; return 1 if an output differs or a case fails, else 0."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.golden", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument(
        "file", type=Path, nargs="?", default=DEFAULT_FILE, help="golden file (default: %(default)s)"
    )
    parser.add_argument(
        "--repo", type=Path, default=Path(__file__).parents[2], help="checkout to run (default: this one)"
    )
    parser.add_argument("--python", default=sys.executable, help="Python to run it with (default: this one)")
    parser.add_argument("--only", choices=CASES, nargs="+", default=list(CASES), help="cases to run")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        checkout = Checkout(args.repo.absolute(), args.python, Path(folder))
        run = write_golden if args.action == "write" else compare_golden
        return run(args.file, args.only, checkout)


def write_golden(file: Path, names: Sequence[str], checkout: Checkout) -> int:
    """Write the outputs of the named cases, and return the exit status."""
    golden = {"about": _describe_machine(), "inputs": write_inputs(checkout.work_dir / "inputs")}
    outputs = {}
    for name in names:
        started_at = time.monotonic()
        try:
            outputs[name] = run_case(name, checkout)
        except CaseError as error:
            _report(f"{name} failed: {error}")
            return 1
        _report(f"{name} written, {len(outputs[name])} files in {time.monotonic() - started_at:.0f} s")
    file.parent.mkdir(parents=True, exist_ok=True)
    document = json.dumps({**golden, "cases": outputs}, indent=1, sort_keys=True)
    file.write_text(document + "\n", "utf-8")
    return 0


def compare_golden(file: Path, names: Sequence[str], checkout: Checkout) -> int:
    """Compare the outputs with a golden file, one line for each case, and return the exit status."""
    golden: dict[str, Any] = json.loads(file.read_text("utf-8"))
    current = {"about": _describe_machine(), "inputs": write_inputs(checkout.work_dir / "inputs")}
    for section in current:
        if changes := list_changes(golden[section], current[section]):
            _report(f"note: {section}: {'; '.join(changes)}")
    exit_status = 0
    for name in names:
        try:
            differences = describe_differences(golden["cases"].get(name, {}), run_case(name, checkout))
        except CaseError as error:
            differences = f"it failed: {error}"
        _report(f"{name} DIFFERENT {differences}" if differences else f"{name} equal")
        exit_status = 1 if differences else exit_status
    return exit_status


def _report(line: str) -> None:
    print(f"golden: {line}", flush=True)


def _describe_machine() -> dict[str, str]:
    """Return what the hashes also depend on: the processor and the versions of libraries."""
    about = {"python": platform.python_version(), "machine": platform.machine()}
    cpu_info = Path("/proc/cpuinfo")
    match = re.search(r"model name\s*: (.*)", cpu_info.read_text("utf-8")) if cpu_info.is_file() else None
    about["processor"] = match[1] if match else platform.processor()
    for library in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            about[library] = importlib.metadata.version(library)
    return about


if __name__ == "__main__":
    sys.exit(main())
