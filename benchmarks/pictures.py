"""Rows about pictures: beside diffusers' own pipeline, beside a training, and from one LoRA to another."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.figure import make_figure
from benchmarks.measure import GIB, Measurement, NotMeasured, spread
from benchmarks.notebook import RunCache
from gpu_worker.models.family import SamplingConfig

#: Default denoising steps of a picture.
DEFAULT_STEPS = SamplingConfig().steps


def _compare_precision(precision: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        run = run_cache.drawing(precision)
        note = f"ours {spread(run.ours_s)}, theirs {spread(run.theirs_s)}"
        return Measurement(median(run.theirs_s) / median(run.ours_s), note)

    return measure


def _compare_defaults(run_cache: RunCache) -> Measurement:
    ours, theirs = run_cache.drawing("default"), run_cache.drawing("fp32")
    note = f"ours {spread(ours.ours_s)} in {ours.precision}, theirs {spread(theirs.theirs_s)} in fp32"
    return Measurement(median(theirs.theirs_s) / median(ours.ours_s), note)


def _compare_fast(run_cache: RunCache) -> Measurement:
    run = run_cache.whole_pictures()
    note = f"ours {run.fast_s:.1f} s in {run.precision} ({run.fast_recipe}), theirs {run.theirs_s:.1f} s"
    return Measurement(run.theirs_s / run.fast_s, note)


def _compare_accelerated(run_cache: RunCache) -> Measurement:
    run = run_cache.whole_pictures()
    note = f"ours {run.accelerated_s:.1f} s in {run.precision} ({run.accelerated_recipe})"
    return Measurement(run.theirs_s / run.accelerated_s, f"{note}, theirs {run.theirs_s:.1f} s")


def _measure_lora_cost(run_cache: RunCache) -> Measurement:
    run = run_cache.drawing("default")
    note = f"{spread(run.with_lora_s)} with it, {spread(run.ours_s)} without"
    added_s = median(run.with_lora_s) - median(run.ours_s)
    note += f"; {DEFAULT_STEPS * added_s:.1f} s a picture, merging takes {run.merge_s:.1f} s and undoing it"
    return Measurement(100 * added_s / median(run.ours_s), note)


def _measure_cold_switch(run_cache: RunCache) -> Measurement:
    run = run_cache.switching()
    return Measurement(run.cold_s, f"{run.lora_bytes / 2**20:.0f} MiB of fp16, rank 16, all 264 modules")


def _measure_cached_switch(run_cache: RunCache) -> Measurement:
    return Measurement(1000 * run_cache.switching().cached_s)


def _measure_switch_memory(run_cache: RunCache) -> Measurement:
    run = run_cache.switching()
    note = f"{run.rss_before_bytes / 2**20:.0f} MiB after the first round of 100, then 1,000 times"
    return Measurement(100 * (run.rss_most_bytes / run.rss_before_bytes - 1), note)


def _measure_shared_memory(run_cache: RunCache) -> Measurement:
    alone, both = run_cache.peak("train"), run_cache.peak("both")
    if not alone:
        raise NotMeasured("this system does not say how much memory a process has used at most")
    return Measurement(both / alone, f"{both / GIB:.2f} against {alone / GIB:.2f} GiB in bf16")


def _measure_loading_memory(run_cache: RunCache) -> Measurement:
    peak, files = run_cache.loading()
    note = f"{peak / GIB:.2f} GiB, libraries included, for {files / GIB:.2f} GiB of files"
    return Measurement(peak / files, note)


FIGURES = (
    make_figure(
        "picture-fp32", "diffusers' step against ours, fp32", "times", ">= 1.0", _compare_precision("fp32")
    ),
    make_figure(
        "picture-bf16", "diffusers' step against ours, bf16", "times", ">= 1.0", _compare_precision("bf16")
    ),
    make_figure(
        "picture-out-of-the-box",
        "diffusers' step as it comes against ours",
        "times",
        ">= 1.7",
        _compare_defaults,
    ),
    make_figure(
        "picture-fast", "a picture of diffusers told nothing by ours", "times", ">= 4.0", _compare_fast
    ),
    make_figure(
        "picture-accelerated", "the same by ours with ACCELERATE", "times", ">= 8.0", _compare_accelerated
    ),
    # Merged it would cost nothing a step, but seconds at the start and a copy of the weights it changes.
    make_figure("lora-share", "what an unmerged LoRA adds to a step", "%", "<= 10.0", _measure_lora_cost),
    make_figure("lora-switch-cached", "to another LoRA used lately", "ms", "<= 50.0", _measure_cached_switch),
    make_figure("lora-switch-cold", "to another LoRA, from its bytes", "s", "<= 0.5", _measure_cold_switch),
    make_figure(
        "lora-switch-memory", "memory after 1,000 switches among 100", "%", "<= 2.0", _measure_switch_memory
    ),
    make_figure(
        "both-duties-memory",
        "training and picture against training",
        "ratio",
        "<= 1.15",
        _measure_shared_memory,
    ),
    make_figure(
        "loading-memory",
        "most memory while loading fp16 files",
        "of files",
        "<= 1.3",
        _measure_loading_memory,
    ),
)
