"""What the watched bot says of itself each second, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median

import msgspec


class LoopSample(msgspec.Struct, frozen=True, kw_only=True):
    """One second.

    `late_s` is by how much a tick of the loop came too late at most; `busy_s` is the most CPU time of the
    loop's thread from one tick to the next: what is more of the first is time of other threads and processes.
    """

    at_s: float
    late_s: float
    busy_s: float
    memory_bytes: int
    descriptors: int
    tasks: int
    threads: int
    wal_bytes: int


def read_samples(journal: Path) -> list[LoopSample]:
    """Read a journal; its last line may be half."""
    lines = journal.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=LoopSample) for line in lines]


def median_slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the change a second by Theil and Sen: the median slope of pairs, which few peaks do not move."""
    points = list(zip(times_s, values, strict=True))
    step = max(1, len(points) // 300)  # 45,000 pairs are plenty
    pairs = combinations(points[::step], 2)
    return median((b - a) / (t - s) for (s, a), (t, b) in pairs if t > s)
