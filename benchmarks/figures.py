"""The table's rows: what each figure is, its goal, and how it follows from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from statistics import median

from benchmarks import pictures, sdxl
from benchmarks.figure import FigureSpec as FigureSpec
from benchmarks.figure import make_figure
from benchmarks.measure import GIB, Measurement, NotMeasured, spread
from benchmarks.notebook import RunCache
from benchmarks.runs import PeerRun, TrainingRun
from gpu_worker.training.config import TrainingConfig

_NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
#: What one training step computes, text encoder included, in 10^9 operations, by the picture's side.
STEP_GFLOP = {512: 1787, 256: 410}


def select_figures(only: str | None) -> list[FigureSpec]:
    """Return all figures, or those of this name or beginning; ValueError when there is none."""
    selected = [
        figure for figure in FIGURES if only in (None, figure.name) or figure.name.startswith(f"{only}-")
    ]
    if not selected:
        raise ValueError(
            f"there is no row {only}; there are {', '.join(candidate.name for candidate in FIGURES)}"
        )
    return selected


def _compare_steps(precision: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        ours, theirs = run_cache.paired_runs(precision)
        return _compare_runs(_require_precision(ours, precision), theirs)

    return measure


def _compare_runs(ours: list[TrainingRun], theirs: list[PeerRun]) -> Measurement:
    our_steps_s, their_steps_s = _collect_steps_s(ours), _collect_steps_s(theirs)
    peaks = f"{_max_peak_gib(ours):.2f} and {_max_peak_gib(theirs):.2f} GiB"
    note = f"ours {spread(our_steps_s)}, peer {spread(their_steps_s)}; most memory {peaks}"
    return Measurement(median(our_steps_s) / median(their_steps_s), note)


def _compare_defaults(run_cache: RunCache) -> Measurement:
    ours, theirs = run_cache.paired_runs("default")
    our_steps_s, their_steps_s = _collect_steps_s(ours), _collect_steps_s(theirs)
    note = f"ours {spread(our_steps_s)} in {_NAMES[ours[0].precision]}, peer {spread(their_steps_s)} in fp32"
    return Measurement(median(their_steps_s) / median(our_steps_s), note)


def _count_fp16_tensors(run_cache: RunCache) -> Measurement:
    choice = run_cache.default_precision()
    return Measurement(choice.fp16_tensors, f"{_NAMES[choice.precision]}: {choice.reason}")


def _measure_speed_share(precision: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        steps_s = _collect_steps_s(_require_precision(run_cache.our_trainings(precision), precision))
        if run_cache.lab.side_px not in STEP_GFLOP:
            raise NotMeasured(f"the work of a step at {run_cache.lab.side_px} px is not known")
        reached_gflops = STEP_GFLOP[run_cache.lab.side_px] / median(steps_s)
        peak_gflops = run_cache.lab.gflops(precision)
        return Measurement(
            reached_gflops / peak_gflops,
            f"step {spread(steps_s)}; {reached_gflops:.0f} of {peak_gflops:.0f} GFLOP/s",
        )

    return measure


def _measure_peak_memory(precision: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        peak_gib = _max_peak_gib(_require_precision(run_cache.our_trainings(precision), precision))
        if peak_gib == 0:
            raise NotMeasured("this system does not say how much memory a process has used at most")
        return Measurement(peak_gib, f"{run_cache.lab.side_px} px, pictures encoded in the same process")

    return measure


def _compare_start(precision: str) -> Callable[[RunCache], Measurement]:
    def measure(run_cache: RunCache) -> Measurement:
        ours, theirs = run_cache.paired_runs(precision)
        our_start_s = median(run.start_s for run in _require_precision(ours, precision))
        their_start_s = median(run.start_s for run in theirs)
        return Measurement(
            their_start_s / our_start_s,
            f"ours {our_start_s:.1f} s, peer {their_start_s:.1f} s, from start to the end of step 1",
        )

    return measure


def _measure_prefetched_start(run_cache: RunCache) -> Measurement:
    worker = run_cache.worker()
    step_s = median(worker.ahead_steps_s)
    note = f"{worker.ahead_s:.1f} s with a step of {step_s:.2f} s in {worker.precision}"
    return Measurement(worker.ahead_s - step_s, note)


def _compare_cold_start(run_cache: RunCache) -> Measurement:
    worker = run_cache.worker()
    our_note = f"ours {worker.cold_s:.1f} s in {worker.precision}"
    try:
        _, theirs = run_cache.paired_runs(worker.precision)
    except NotMeasured as error:
        raise NotMeasured(f"{error}; {our_note}") from error
    their_start_s = median(run.start_s for run in theirs)
    return Measurement(
        their_start_s / worker.cold_s, f"{our_note}, peer {their_start_s:.1f} s from its start"
    )


def _measure_event_share(run_cache: RunCache) -> Measurement:
    run = _require_precision(run_cache.our_trainings("bf16"), "bf16")[-1]
    step_s, config = median(run.steps_s), TrainingConfig()
    # A checkpoint comes after so many steps or so many seconds, whichever is first, at the end of a step.
    checkpoint_interval_s = min(config.checkpoint_every_steps * step_s, config.checkpoint_every_s)
    share = run.progress_delay_s / step_s + run.checkpoint_s / checkpoint_interval_s
    note = (
        f"progress {1000 * run.progress_delay_s:.2f} ms a step; checkpoint {run.checkpoint_s:.2f} s "
        f"({run.checkpoint_bytes / 1e6:.0f} MB) every {checkpoint_interval_s:.0f} s; step {step_s:.2f} s"
    )
    return Measurement(100 * share, note)


def _measure_worker_start(run_cache: RunCache) -> Measurement:
    worker = run_cache.start_worker()
    return Measurement(worker.ready_s, f"its first word after {worker.said_ready_s:.1f} s")


def _compare_gpu_steps(run_cache: RunCache) -> Measurement:
    ours = run_cache.card()
    theirs = run_cache.card_peer()
    note = f"ours {spread(ours.steps_s)} in {_NAMES[ours.precision]}, peer {spread(theirs.steps_s)}"
    return Measurement(median(theirs.steps_s) / median(ours.steps_s), note)


def _measure_gpu_memory(run_cache: RunCache) -> Measurement:
    run = run_cache.card()
    return Measurement(run.peak_bytes / 1e9, f"{_NAMES[run.precision]}, step {spread(run.steps_s)}")


def _measure_gpu_idle(run_cache: RunCache) -> Measurement:
    return Measurement(run_cache.card().idle_percent)


def _collect_steps_s(runs: Iterable[TrainingRun] | Iterable[PeerRun]) -> list[float]:
    return list(chain.from_iterable(run.steps_s for run in runs))


def _max_peak_gib(runs: Iterable[TrainingRun] | Iterable[PeerRun]) -> float:
    return max(run.peak_bytes for run in runs) / GIB


def _require_precision(runs: list[TrainingRun], precision: str) -> list[TrainingRun]:
    """Return the runs if they were in the precision asked for: a training may change it by itself."""
    for run in runs:
        if _NAMES[run.precision] != precision or run.adjusted:
            reason = "; ".join(run.adjusted) or "it did not say why"
            raise NotMeasured(f"it did not stay in {precision}: {reason}")
    return runs


#: Rows beside the peer come first, so that rows of ours alone can use what was measured for them.
FIGURES = (
    make_figure(
        "same-work-fp32", "a step against sd-scripts --sdpa, fp32", "ratio", "<= 1.0", _compare_steps("fp32")
    ),
    make_figure(
        "same-work-bf16", "a step against sd-scripts --sdpa, bf16", "ratio", "<= 1.0", _compare_steps("bf16")
    ),
    make_figure(
        "same-lora",
        "norms against sd-scripts', the worst of eight sets of flags",
        "ratio",
        "<= 1.05",
        RunCache.compared_loras,
        needs_model=False,
    ),
    make_figure(
        "out-of-the-box", "sd-scripts' step as it comes against ours", "times", ">= 2.0", _compare_defaults
    ),
    make_figure(
        "fp16-on-cpu", "tensors in fp16 when nothing is asked for", "tensors", "<= 0", _count_fp16_tensors
    ),
    # The figures of sd-scripts on two quiet cores, so that a step can be compared without it.
    make_figure(
        "speed-share-fp32",
        "share of the machine's matrix speed",
        "of 1",
        ">= 0.73",
        _measure_speed_share("fp32"),
    ),
    make_figure(
        "speed-share-bf16",
        "share of the machine's matrix speed",
        "of 1",
        ">= 0.55",
        _measure_speed_share("bf16"),
    ),
    make_figure(
        "first-step-ahead", "fifth photo to first step, less a step", "s", "<= 1.0", _measure_prefetched_start
    ),
    make_figure(
        "first-step-cold", "sd-scripts' start against fifth photo", "times", ">= 1.5", _compare_cold_start
    ),
    make_figure(
        "program-start-fp32", "sd-scripts' start against ours", "times", ">= 1.0", _compare_start("fp32")
    ),
    make_figure(
        "program-start-bf16", "sd-scripts' start against ours", "times", ">= 1.0", _compare_start("bf16")
    ),
    make_figure(
        "peak-memory-fp32", "most memory of the process", "GiB", "<= 6.0", _measure_peak_memory("fp32")
    ),
    make_figure(
        "peak-memory-bf16", "most memory of the process", "GiB", "<= 4.0", _measure_peak_memory("bf16")
    ),
    make_figure(
        "events-share", "events, progress, checkpoints of a step", "%", "<= 1.0", _measure_event_share
    ),
    make_figure("worker-ready", "worker's start to base model loaded", "s", "<= 10.0", _measure_worker_start),
    *pictures.FIGURES,
    *sdxl.FIGURES,
    make_figure(
        "cuda-step", "sd-scripts' step against ours, on the card", "times", ">= 1.3", _compare_gpu_steps
    ),
    make_figure("cuda-peak-memory", "most of the card's memory", "GB", "< 5.5", _measure_gpu_memory),
    make_figure("cuda-idle", "card idle between steps", "%", "< 3.0", _measure_gpu_idle),
)
