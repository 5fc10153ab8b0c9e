"""The table's rows: what each figure is, its goal, and how it follows from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from statistics import median

from benchmarks import pictures
from benchmarks.figure import Figure as Figure
from benchmarks.figure import figure
from benchmarks.measure import GIB, Finding, NotMeasured, spread
from benchmarks.notebook import Notebook
from benchmarks.runs import PeerRun, Training
from gpu_worker.training.config import Dials

_NAMES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
#: What one training step computes, text encoder included, in 10^9 operations, by the picture's side.
STEP_GFLOP = {512: 1787, 256: 410}


def chosen(only: str | None) -> list[Figure]:
    """Return all figures, or the one of this name; ValueError when there is none."""
    found = [figure for figure in FIGURES if only in (None, figure.name)]
    if not found:
        raise ValueError(f"there is no row {only}; there are {', '.join(each.name for each in FIGURES)}")
    return found


def _same_work(precision: str) -> Callable[[Notebook], Finding]:
    def measure(book: Notebook) -> Finding:
        ours, theirs = book.duel(precision)
        return _against(_trusted(ours, precision), theirs)

    return measure


def _against(ours: list[Training], theirs: list[PeerRun]) -> Finding:
    own, other = _steps(ours), _steps(theirs)
    peaks = f"{_peak_gib(ours):.2f} and {_peak_gib(theirs):.2f} GiB"
    note = f"ours {spread(own)}, peer {spread(other)}; most memory {peaks}"
    return Finding(median(own) / median(other), note)


def _out_of_the_box(book: Notebook) -> Finding:
    ours, theirs = book.duel("default")
    own, other = _steps(ours), _steps(theirs)
    note = f"ours {spread(own)} in {_NAMES[ours[0].precision]}, peer {spread(other)} in fp32"
    return Finding(median(other) / median(own), note)


def _never_fp16(book: Notebook) -> Finding:
    choice = book.choice()
    return Finding(choice.fp16_tensors, f"{_NAMES[choice.precision]}: {choice.reason}")


def _speed_share(precision: str) -> Callable[[Notebook], Finding]:
    def measure(book: Notebook) -> Finding:
        own = _steps(_trusted(book.ours(precision), precision))
        if book.lab.side_px not in STEP_GFLOP:
            raise NotMeasured(f"the work of a step at {book.lab.side_px} px is not known")
        reached = STEP_GFLOP[book.lab.side_px] / median(own)
        roof = book.lab.gflops(precision)
        return Finding(reached / roof, f"step {spread(own)}; {reached:.0f} of {roof:.0f} GFLOP/s")

    return measure


def _peak_memory(precision: str) -> Callable[[Notebook], Finding]:
    def measure(book: Notebook) -> Finding:
        peak = _peak_gib(_trusted(book.ours(precision), precision))
        if peak == 0:
            raise NotMeasured("this system does not say how much memory a process has used at most")
        return Finding(peak, f"{book.lab.side_px} px, pictures encoded in the same process")

    return measure


def _program_start(precision: str) -> Callable[[Notebook], Finding]:
    def measure(book: Notebook) -> Finding:
        ours, theirs = book.duel(precision)
        own = median(run.start_s for run in _trusted(ours, precision))
        other = median(run.start_s for run in theirs)
        return Finding(other / own, f"ours {own:.1f} s, peer {other:.1f} s, from start to the end of step 1")

    return measure


def _ahead(book: Notebook) -> Finding:
    worker = book.worker()
    step_s = median(worker.ahead_steps_s)
    note = f"{worker.ahead_s:.1f} s with a step of {step_s:.2f} s in {worker.precision}"
    return Finding(worker.ahead_s - step_s, note)


def _no_head_start(book: Notebook) -> Finding:
    worker = book.worker()
    own = f"ours {worker.cold_s:.1f} s in {worker.precision}"
    try:
        _, theirs = book.duel(worker.precision)
    except NotMeasured as failure:
        raise NotMeasured(f"{failure}; {own}") from failure
    other = median(run.start_s for run in theirs)
    return Finding(other / worker.cold_s, f"{own}, peer {other:.1f} s from its start")


def _events(book: Notebook) -> Finding:
    run = _trusted(book.ours("bf16"), "bf16")[-1]
    step_s, dials = median(run.steps_s), Dials()
    # A checkpoint comes after so many steps or so many seconds, whichever is first, at the end of a step.
    every_s = min(dials.checkpoint_every_steps * step_s, dials.checkpoint_every_s)
    share = run.told_s / step_s + run.checkpoint_s / every_s
    note = (
        f"progress {1000 * run.told_s:.2f} ms a step; checkpoint {run.checkpoint_s:.2f} s "
        f"({run.checkpoint_bytes / 1e6:.0f} MB) every {every_s:.0f} s; step {step_s:.2f} s"
    )
    return Finding(100 * share, note)


def _worker_ready(book: Notebook) -> Finding:
    worker = book.worker_start()
    return Finding(worker.ready_s, f"its first word after {worker.said_ready_s:.1f} s")


def _card_speed(book: Notebook) -> Finding:
    ours = book.card()
    theirs = book.card_peer()
    note = f"ours {spread(ours.steps_s)} in {_NAMES[ours.precision]}, peer {spread(theirs.steps_s)}"
    return Finding(median(theirs.steps_s) / median(ours.steps_s), note)


def _card_memory(book: Notebook) -> Finding:
    run = book.card()
    return Finding(run.peak_bytes / 1e9, f"{_NAMES[run.precision]}, step {spread(run.steps_s)}")


def _card_idle(book: Notebook) -> Finding:
    return Finding(book.card().idle_percent)


def _steps(runs: Iterable[Training] | Iterable[PeerRun]) -> list[float]:
    return list(chain.from_iterable(run.steps_s for run in runs))


def _peak_gib(runs: Iterable[Training] | Iterable[PeerRun]) -> float:
    return max(run.peak_bytes for run in runs) / GIB


def _trusted(runs: list[Training], precision: str) -> list[Training]:
    """Return the runs if they were in the precision asked for: a training may change it by itself."""
    for run in runs:
        if _NAMES[run.precision] != precision or run.adjusted:
            why = "; ".join(run.adjusted) or "it did not say why"
            raise NotMeasured(f"it did not stay in {precision}: {why}")
    return runs


#: Rows beside the peer come first, so that rows of ours alone can use what was measured for them.
FIGURES = (
    figure("same-work-fp32", "a step against sd-scripts --sdpa, fp32", "ratio", "<= 1.0", _same_work("fp32")),
    figure("same-work-bf16", "a step against sd-scripts --sdpa, bf16", "ratio", "<= 1.0", _same_work("bf16")),
    figure("out-of-the-box", "sd-scripts' step as it comes against ours", "times", ">= 2.0", _out_of_the_box),
    figure("fp16-on-cpu", "tensors in fp16 when nothing is asked for", "tensors", "<= 0", _never_fp16),
    # What sd-scripts reached on two quiet cores, so that a step can be judged without it.
    figure(
        "speed-share-fp32", "share of the machine's matrix speed", "of 1", ">= 0.73", _speed_share("fp32")
    ),
    figure(
        "speed-share-bf16", "share of the machine's matrix speed", "of 1", ">= 0.55", _speed_share("bf16")
    ),
    figure("first-step-ahead", "fifth photo to first step, less a step", "s", "<= 1.0", _ahead),
    figure("first-step-cold", "sd-scripts' start against fifth photo", "times", ">= 1.5", _no_head_start),
    figure("program-start-fp32", "sd-scripts' start against ours", "times", ">= 1.0", _program_start("fp32")),
    figure("program-start-bf16", "sd-scripts' start against ours", "times", ">= 1.0", _program_start("bf16")),
    figure("peak-memory-fp32", "most memory of the process", "GiB", "<= 6.0", _peak_memory("fp32")),
    figure("peak-memory-bf16", "most memory of the process", "GiB", "<= 4.0", _peak_memory("bf16")),
    figure("events-share", "events, progress, checkpoints of a step", "%", "<= 1.0", _events),
    figure("worker-ready", "worker's start to base model loaded", "s", "<= 10.0", _worker_ready),
    *pictures.FIGURES,
    figure("cuda-step", "sd-scripts' step against ours, on the card", "times", ">= 1.3", _card_speed),
    figure("cuda-peak-memory", "most of the card's memory", "GB", "< 5.5", _card_memory),
    figure("cuda-idle", "card idle between steps", "%", "< 3.0", _card_idle),
)
