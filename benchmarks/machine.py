"""What the figures were measured on, and how fast it was then."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import measure


@dataclass(frozen=True)
class Machine:
    """A description that a figure can be read against."""

    cpu: str
    cores: int
    memory_gib: float
    python: str
    torch: str
    threads: int
    card: str  #: empty: none
    fp32_gflops: float  #: of a matrix product, at the start
    bf16_gflops: float
    load: float  #: processes that wanted to run just before, besides us: above 0.5 the figures are too slow

    def lines(self) -> list[str]:
        """Describe it for a person."""
        card = self.card or "no CUDA card"
        return [
            f"machine: {self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB; {card}; "
            f"Python {self.python}, torch {self.torch}, {self.threads} threads",
            f"matrix product: {self.fp32_gflops:.0f} GFLOP/s fp32, {self.bf16_gflops:.0f} GFLOP/s bf16; "
            f"load before the start {self.load:.1f}"
            + (" - others use this machine, so times are longer than they could be" if self.is_busy else ""),
        ]

    @property
    def is_busy(self) -> bool:
        """Return whether other programs were running."""
        return self.load > 0.5

    def as_json(self) -> dict[str, Any]:
        """Return it for the results' file."""
        return asdict(self)


def describe() -> Machine:
    """Look and measure; takes some seconds."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    speeds = matmul()
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / measure.GIB,
        python=platform.python_version(),
        torch=speeds["torch"],
        threads=speeds["threads"],
        card=speeds["card"],
        fp32_gflops=speeds["fp32"],
        bf16_gflops=speeds["bf16"],
        load=load,
    )


def matmul() -> dict[str, Any]:
    """Measure a matrix product in a process of its own, so that this one stays small."""
    return measure.probe("matmul", timeout_s=120).read_json()


def _cpu() -> str:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
