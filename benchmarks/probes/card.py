"""A training on the CUDA card: its steps, the card's memory, and how long the card waits between steps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import gaps
from benchmarks.probes.task import DTYPES, make_training_task, parse_arguments
from gpu_worker.models.registry import load_base_model
from gpu_worker.training.trainer import StepReport, train_photos

#: Steps before the figures count: cuDNN tries its kernels, the caches fill.
WARM_UP_STEPS = 10
#: Steps that are looked at kernel by kernel; they are left out of the step times, as looking costs time.
PROFILED_STEPS = 10


class StepProfiler:
    """Notes when steps end and, for the last ones, what the card did."""

    def __init__(self, steps: int) -> None:
        self._first_profiled = steps - PROFILED_STEPS - 2
        self.step_ends: list[float] = []
        self.profile = profile(activities=[ProfilerActivity.CUDA])

    def on_step(self, report: StepReport) -> None:
        """Called after every step; on a GPU the report is of the step before, so that nothing waits."""
        if len(self.step_ends) < self._first_profiled:
            self.step_ends.append(time.monotonic())
        if report.step == self._first_profiled:
            self.profile.start()
        elif report.step == self._first_profiled + PROFILED_STEPS:
            self.profile.stop()

    def list_spans(self) -> list[tuple[float, float]]:
        """Return when each of the card's operations began and ended, in microseconds."""
        events: Any = self.profile
        return [
            (event.time_range.start, event.time_range.end)
            for event in events.events()
            if "CUDA" in str(event.device_type)
        ]


def idle_percent(spans: Iterable[tuple[float, float]]) -> float:
    """Return the share of the time from the first start to the last end that no span covers, in percent."""
    ordered = sorted(spans)
    if not ordered:
        return 100.0
    busy_time, (first_start, last_end) = 0.0, ordered[0]
    start = first_start
    for span_start, span_end in ordered[1:]:
        if span_start > last_end:
            busy_time += last_end - start
            start = span_start
        last_end = max(last_end, span_end)
    busy_time += last_end - start
    return 100 * (1 - busy_time / (last_end - first_start)) if last_end > first_start else 0.0


def main() -> None:
    """Train, sample the GPU's load, and print the result."""
    args = parse_arguments()
    base = load_base_model(str(args.model), DTYPES[args.precision])
    profiler = StepProfiler(args.steps)
    for _ in train_photos(base, make_training_task(args.side, args.steps, profiler.on_step)):
        pass
    ends = profiler.step_ends[WARM_UP_STEPS:]
    free, total = torch.cuda.mem_get_info()
    # What torch keeps at most, and what the card holds besides: the CUDA context.
    other_bytes = max(0, total - free - torch.cuda.memory_reserved())
    record = {
        "precision": str(base.dtype).removeprefix("torch."),
        "steps_s": gaps(ends),
        "peak_bytes": torch.cuda.max_memory_reserved() + other_bytes,
        "idle_percent": idle_percent(profiler.list_spans()),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
