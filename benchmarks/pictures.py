"""Rows about pictures: beside diffusers' own pipeline, beside a training, and from one LoRA to another."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.figure import figure
from benchmarks.measure import GIB, Finding, NotMeasured, spread
from benchmarks.notebook import Notebook
from gpu_worker.generation.config import PictureDials

#: Denoising steps of a picture where nobody says otherwise.
USUAL_STEPS = PictureDials().steps


def _same_precision(precision: str) -> Callable[[Notebook], Finding]:
    def measure(book: Notebook) -> Finding:
        run = book.drawing(precision)
        note = f"ours {spread(run.ours_s)}, theirs {spread(run.theirs_s)}"
        return Finding(median(run.theirs_s) / median(run.ours_s), note)

    return measure


def _as_they_come(book: Notebook) -> Finding:
    ours, theirs = book.drawing("default"), book.drawing("fp32")
    note = f"ours {spread(ours.ours_s)} in {ours.precision}, theirs {spread(theirs.theirs_s)} in fp32"
    return Finding(median(theirs.theirs_s) / median(ours.ours_s), note)


def _with_lora(book: Notebook) -> Finding:
    run = book.drawing("default")
    note = f"{spread(run.with_lora_s)} with it, {spread(run.ours_s)} without"
    added_s = median(run.with_lora_s) - median(run.ours_s)
    note += f"; {USUAL_STEPS * added_s:.1f} s a picture, merging takes {run.merge_s:.1f} s and undoing it"
    return Finding(100 * added_s / median(run.ours_s), note)


def _cold(book: Notebook) -> Finding:
    run = book.switching()
    return Finding(run.cold_s, f"{run.lora_bytes / 2**20:.0f} MiB of fp16, rank 16, all 264 modules")


def _cached(book: Notebook) -> Finding:
    return Finding(1000 * book.switching().cached_s)


def _memory_of_switching(book: Notebook) -> Finding:
    run = book.switching()
    note = f"{run.rss_before_bytes / 2**20:.0f} MiB after the first round of 100, then 1,000 times"
    return Finding(100 * (run.rss_most_bytes / run.rss_before_bytes - 1), note)


def _both_duties(book: Notebook) -> Finding:
    alone, both = book.peak("train"), book.peak("both")
    if not alone:
        raise NotMeasured("this system does not say how much memory a process has used at most")
    return Finding(both / alone, f"{both / GIB:.2f} against {alone / GIB:.2f} GiB in bf16")


def _loading(book: Notebook) -> Finding:
    peak, files = book.loading()
    note = f"{peak / GIB:.2f} GiB, libraries included, for {files / GIB:.2f} GiB of files"
    return Finding(peak / files, note)


FIGURES = (
    figure("picture-fp32", "diffusers' step against ours, fp32", "times", ">= 1.0", _same_precision("fp32")),
    figure("picture-bf16", "diffusers' step against ours, bf16", "times", ">= 1.0", _same_precision("bf16")),
    figure(
        "picture-out-of-the-box", "diffusers' step as it comes against ours", "times", ">= 1.7", _as_they_come
    ),
    # Merged it would cost nothing a step, but seconds at the start and a copy of the weights it changes.
    figure("lora-share", "what an unmerged LoRA adds to a step", "%", "<= 10.0", _with_lora),
    figure("lora-switch-cached", "to another LoRA used lately", "ms", "<= 50.0", _cached),
    figure("lora-switch-cold", "to another LoRA, from its bytes", "s", "<= 0.5", _cold),
    figure(
        "lora-switch-memory", "memory after 1,000 switches among 100", "%", "<= 2.0", _memory_of_switching
    ),
    figure("both-duties-memory", "training and picture against training", "ratio", "<= 1.15", _both_duties),
    figure("loading-memory", "most memory while loading fp16 files", "of files", "<= 1.3", _loading),
)
