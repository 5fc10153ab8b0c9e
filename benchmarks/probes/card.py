"""A training on the CUDA card: its steps, the card's memory, and how long the card waits between steps."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import gaps
from benchmarks.probes.task import DTYPES, arguments, training
from gpu_worker.models.base import BaseModel
from gpu_worker.training.trainer import StepReport, train_photos

#: Steps before the figures count: cuDNN tries its kernels, the caches fill.
WARM_UP_STEPS = 10
#: Steps that are looked at kernel by kernel; they are left out of the step times, as looking costs time.
WATCHED_STEPS = 10


class Watch:
    """Notes when steps end and, for the last ones, what the card did."""

    def __init__(self, steps: int) -> None:
        self._first_watched = steps - WATCHED_STEPS - 2
        self.ends: list[float] = []
        self.profile = profile(activities=[ProfilerActivity.CUDA])

    def on_step(self, report: StepReport) -> None:
        """Called after every step; on a card it tells of the one before, so that nothing waits."""
        if len(self.ends) < self._first_watched:
            self.ends.append(time.monotonic())
        if report.step == self._first_watched:
            self.profile.start()
        elif report.step == self._first_watched + WATCHED_STEPS:
            self.profile.stop()

    def spans(self) -> list[tuple[float, float]]:
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
    busy, (began, reached) = 0.0, ordered[0]
    start = began
    for first, last in ordered[1:]:
        if first > reached:
            busy += reached - start
            start = first
        reached = max(reached, last)
    busy += reached - start
    return 100 * (1 - busy / (reached - began)) if reached > began else 0.0


def main() -> None:
    """Train, watch, tell."""
    told = arguments()
    base = BaseModel.load(str(told.model), DTYPES[told.precision])
    watch = Watch(told.steps)
    for _ in train_photos(base, training(told.side, told.steps, watch.on_step)):
        pass
    ends = watch.ends[WARM_UP_STEPS:]
    free, total = torch.cuda.mem_get_info()
    # What torch keeps at most, and what the card holds besides: the CUDA context.
    besides = max(0, total - free - torch.cuda.memory_reserved())
    record = {
        "precision": str(base.dtype).removeprefix("torch."),
        "steps_s": gaps(ends),
        "peak_bytes": torch.cuda.max_memory_reserved() + besides,
        "idle_percent": idle_percent(watch.spans()),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
