"""What do a training's candidates cost it, and what does keeping the class? In the processor's own time.

    python -m benchmarks.candidates drawn  # the small base model
    python -m benchmarks.candidates sd15   # Stable Diffusion 1.5's shape, 512 px (4.3 GB, built once)

Prints `candidates: <name> value=<v> goal=<g> holds|short`. It counts the seconds that the processor worked,
not those that passed: a busy machine changes little. A few steps of each kind stand for all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

import drawn
from benchmarks import sd15_model
from benchmarks.likeness import PROMPTS
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Candidate, Event, Progress, Train
from gpu_worker.training.config import Dials, training_dials
from gpu_worker.training.trainer import train

#: Steps that are measured, after one that is not: the first one also encodes a photo.
STEPS = {"drawn": 20, "sd15": 1}
#: Denoising steps that stand for those of a candidate's picture.
PICTURE_STEPS = {"drawn": 8, "sd15": 2}
GOAL = 0.05


@dataclass(frozen=True)
class Cost:
    """Seconds of the processor."""

    step_s: float
    candidate_s: float


def measured(base: BaseModel, dials: Dials, kind: str) -> Cost:
    """Train for a few steps, and draw a picture of the candidate that comes with the last."""
    count, denoising = 1 + STEPS[kind], PICTURE_STEPS[kind]
    short = replace(
        dials,
        steps=count,
        sample_every_steps=None,
        checkpoint_every_steps=count,
        checkpoint_every_s=float("inf"),
        candidate_prompts=PROMPTS[:1] if dials.candidate_every_steps else (),
        candidates_from_step=count,
        candidate_picture_steps=denoising,
    )
    photos = tuple(drawn.sample_photos(seed=5, count=1, side_px=dials.resolution_px))
    passed: list[float] = []  # after each training step, then after each denoising step
    whole_s, last = 0.0, time.process_time()
    for event, now in _timed(train(base, Train(job_id=0, attempt=0, photos=photos), short)):
        if isinstance(event, Progress):
            passed.append(now - last)
            last = now
        elif isinstance(event, Candidate):
            whole_s = sum(passed[count:]) + now - last
    denoise_s = median(passed[count:]) if passed[count:] else 0.0
    rest_s = whole_s - sum(passed[count:])
    picture_s = dials.candidate_picture_steps * denoise_s + rest_s
    return Cost(median(passed[1:count]), len(PROMPTS) * picture_s)


def _timed(events: Iterator[Event]) -> Iterator[tuple[Event, float]]:
    for event in events:
        yield event, time.process_time()


def candidates_of(dials: Dials) -> int:
    """Count the candidates of a whole training."""
    every = dials.candidate_every_steps or dials.steps
    due = [step for step in range(every, dials.steps, every) if step >= dials.candidates_from_step]
    return len(due) + 1


def tell(name: str, value: float, goal: float | None, about: str) -> bool:
    """Print a figure and whether it is as it should be."""
    holds = goal is None or value <= goal
    wanted = "-" if goal is None else f"<={goal:g}"
    print(
        f"candidates: {name} value={value:.3f} goal={wanted} {'holds' if holds else 'short'} ({about})",
        flush=True,
    )
    return holds


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.candidates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=list(STEPS))
    parser.add_argument("--bench-dir", type=Path, default=Path("build/bench"), help="where models are built")
    told = parser.parse_args()
    torch.set_num_threads(1)
    name = "drawn" if told.kind == "drawn" else str(sd15_model.build(told.bench_dir))
    base = BaseModel.load(name)
    usual = training_dials(base.kind, base.native_px)
    cost, number = measured(base, usual, told.kind), candidates_of(usual)
    about = (
        f"{number} candidates of {cost.candidate_s:.2f} s, {usual.steps} steps of {cost.step_s:.3f} s,"
        f" {usual.resolution_px} px, {base.gear}"
    )
    holds = tell(f"{told.kind}-share", number * cost.candidate_s / (usual.steps * cost.step_s), GOAL, about)
    # Every second step shows its photo again: an even number of steps is half and half.
    kept = measured(
        base, replace(usual, preserve_class=1.0, preserve_every=1, candidate_every_steps=None), told.kind
    )
    more = (kept.step_s / cost.step_s - 1) / Dials().preserve_every
    tell(f"{told.kind}-preserve-class", more, None, f"a step that keeps the class {kept.step_s:.3f} s")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
