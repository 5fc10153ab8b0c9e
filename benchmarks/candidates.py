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
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import CandidateEvent, ProgressEvent, TrainRequest, WorkerEvent
from gpu_worker.training.config import TrainingConfig, default_training_config
from gpu_worker.training.trainer import train

#: Steps that are measured, after one that is not: the first one also encodes a photo.
STEPS = {"drawn": 20, "sd15": 1}
#: Denoising steps that stand for those of a candidate's picture.
PICTURE_STEPS = {"drawn": 8, "sd15": 2}
GOAL = 0.05


@dataclass(frozen=True)
class CandidateCost:
    """Seconds of the processor."""

    step_s: float
    candidate_s: float


def measure_cost(base: BaseModel, config: TrainingConfig, kind: str) -> CandidateCost:
    """Train for a few steps, and draw a picture of the candidate that comes with the last."""
    count, denoising = 1 + STEPS[kind], PICTURE_STEPS[kind]
    short_config = replace(
        config,
        steps=count,
        sample_every_steps=None,
        checkpoint_every_steps=count,
        checkpoint_every_s=float("inf"),
        candidate_prompts=PROMPTS[:1] if config.candidate_every_steps else (),
        candidates_from_step=count,
        candidate_picture_steps=denoising,
    )
    photos = tuple(drawn.sample_photos(seed=5, count=1, side_px=config.resolution_px))
    step_times_s: list[float] = []  # after each training step, then after each denoising step
    candidate_total_s, last_s = 0.0, time.process_time()
    for event, now_s in _with_cpu_time(
        train(base, TrainRequest(job_id=0, attempt=0, photos=photos), short_config)
    ):
        if isinstance(event, ProgressEvent):
            step_times_s.append(now_s - last_s)
            last_s = now_s
        elif isinstance(event, CandidateEvent):
            candidate_total_s = sum(step_times_s[count:]) + now_s - last_s
    denoise_s = median(step_times_s[count:]) if step_times_s[count:] else 0.0
    rest_s = candidate_total_s - sum(step_times_s[count:])
    picture_s = config.candidate_picture_steps * denoise_s + rest_s
    return CandidateCost(median(step_times_s[1:count]), len(PROMPTS) * picture_s)


def _with_cpu_time(events: Iterator[WorkerEvent]) -> Iterator[tuple[WorkerEvent, float]]:
    for event in events:
        yield event, time.process_time()


def count_candidates(config: TrainingConfig) -> int:
    """Count the candidates of a whole training."""
    interval_steps = config.candidate_every_steps or config.steps
    candidate_steps = [
        step
        for step in range(interval_steps, config.steps, interval_steps)
        if step >= config.candidates_from_step
    ]
    return len(candidate_steps) + 1


def report_result(name: str, value: float, goal: float | None, note: str) -> bool:
    """Print a figure and whether it is as it should be."""
    is_met = goal is None or value <= goal
    goal_text = "-" if goal is None else f"<={goal:g}"
    print(
        f"candidates: {name} value={value:.3f} goal={goal_text} {'holds' if is_met else 'short'} ({note})",
        flush=True,
    )
    return is_met


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.candidates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=list(STEPS))
    parser.add_argument("--bench-dir", type=Path, default=Path("build/bench"), help="where models are built")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = "drawn" if args.kind == "drawn" else str(sd15_model.build(args.bench_dir))
    base = load_base_model(name)
    config = default_training_config(base.family, base.native_px)
    cost, candidate_count = measure_cost(base, config, args.kind), count_candidates(config)
    note = (
        f"{candidate_count} candidates of {cost.candidate_s:.2f} s, "
        f"{config.steps} steps of {cost.step_s:.3f} s,"
        f" {config.resolution_px} px, {base.memory_mode}"
    )
    is_met = report_result(
        f"{args.kind}-share", candidate_count * cost.candidate_s / (config.steps * cost.step_s), GOAL, note
    )
    # Every second step shows its photo again: an even number of steps is half and half.
    preserve_cost = measure_cost(
        base,
        replace(
            config, class_preservation_weight=1.0, class_preservation_interval=1, candidate_every_steps=None
        ),
        args.kind,
    )
    extra_share = (preserve_cost.step_s / cost.step_s - 1) / TrainingConfig().class_preservation_interval
    report_result(
        f"{args.kind}-preserve-class",
        extra_share,
        None,
        f"a step that keeps the class {preserve_cost.step_s:.3f} s",
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
