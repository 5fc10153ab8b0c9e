"""Rows about SDXL's true shape, in bf16: 24 GB of memory do not hold a training in fp32 beside a system."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from statistics import median

from benchmarks.figure import make_figure
from benchmarks.measure import GIB, Measurement, NotMeasured, spread
from benchmarks.notebook import RunCache


def _compare_steps(run_cache: RunCache) -> Measurement:
    ours, theirs = run_cache.sdxl_pairs()
    if any(run.precision != "bfloat16" or run.adjusted for run in ours):
        raise NotMeasured("it did not stay in bf16")
    our_steps_s = list(chain.from_iterable(run.steps_s for run in ours))
    their_steps_s = list(chain.from_iterable(run.steps_s for run in theirs))
    note = f"{run_cache.lab.side_px} px; ours {spread(our_steps_s)}, peer {spread(their_steps_s)}"
    return Measurement(median(our_steps_s) / median(their_steps_s), note)


def _compare_memory(run_cache: RunCache) -> Measurement:
    ours, theirs = (max(run.peak_bytes for run in runs) for runs in run_cache.sdxl_pairs())
    if not ours or not theirs:
        raise NotMeasured("this system does not say how much memory a process has used at most")
    return Measurement(ours / theirs, f"{ours / GIB:.2f} and {theirs / GIB:.2f} GiB")


def _compare_pictures(run_cache: RunCache) -> Measurement:
    run = run_cache.sdxl_drawing()
    note = f"{run_cache.lab.side_px} px; ours {spread(run.ours_s)}, theirs {spread(run.theirs_s)}"
    return Measurement(median(run.theirs_s) / median(run.ours_s), note)


def _compare_storage(storage: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        """Return the worse of both precisions at the side that SDXL draws and trains at."""
        passes_s = run_cache.stored_block().passes_s
        ratios = {work: times_s[storage] / times_s["whole"] for work, times_s in passes_s.items()}
        note = ", ".join(f"{work} px {ratio:.2f}" for work, ratio in ratios.items())
        return Measurement(max(ratio for work, ratio in ratios.items() if work.endswith(" 1024")), note)

    return measure


def _compare_stored_bytes(run_cache: RunCache) -> Measurement:
    stored_bytes = run_cache.stored_block().stored_bytes
    note = ", ".join(f"{storage} {size / 2**20:.0f} MiB" for storage, size in stored_bytes.items())
    return Measurement(stored_bytes["int8"] / stored_bytes["whole"], note)


FIGURES = tuple(
    make_figure(name, what, unit, goal, measure, needs_model=False)
    for name, what, unit, goal, measure in (
        ("sdxl-step", "SDXL's step against sd-scripts --sdpa", "ratio", "<= 1.0", _compare_steps),
        ("sdxl-peak-memory", "most memory against sd-scripts'", "ratio", "< 1.0", _compare_memory),
        ("stored-int8", "SDXL's block in int8 against whole", "ratio", "<= 1.15", _compare_storage("int8")),
        ("stored-nf4", "SDXL's block in NF4 against whole", "ratio", "<= 1.5", _compare_storage("nf4")),
        (
            "stored-bytes",
            "bytes of its weights, int8 to bf16",
            "ratio",
            "<= 0.55",
            _compare_stored_bytes,
        ),
        ("sdxl-picture", "diffusers' SDXL step against ours", "times", ">= 1.0", _compare_pictures),
    )
)
