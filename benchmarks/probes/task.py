"""The training that every probe runs, so that all figures are of the same work."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.work import CAPTION, RANK, REPEATS, photos
from gpu_worker.lora.layers import LoraMatrices, fresh_matrices
from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import Dials
from gpu_worker.training.data import Example
from gpu_worker.training.trainer import StepReport, TrainingTask

#: None: what the program itself chooses for this machine.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "default": None}


def arguments() -> argparse.Namespace:
    """Read what a probe is told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--precision", choices=list(DTYPES), default="default")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    return parser.parse_args()


def random_lora(base: BaseModel, seed: int = 0) -> dict[str, LoraMatrices]:
    """Return a LoRA of random numbers for all modules: how long it takes does not depend on what it says."""
    generator = torch.Generator().manual_seed(seed)
    fresh = fresh_matrices((*base.unet_targets, *base.text_targets), RANK, RANK / 2, generator)
    return {
        name: replace(each, up=torch.randn(each.up.shape, generator=generator) * 0.01)
        for name, each in fresh.items()
    }


def training(side_px: int, steps: int, on_step: Callable[[StepReport], None]) -> TrainingTask:
    """Return a training as sd-scripts does it with the flags in `benchmarks/peer.py`."""
    dials = replace(
        Dials(),
        steps=steps,
        resolution_px=side_px,
        rank=RANK,
        min_snr_gamma=None,  # as sd-scripts; it costs nothing that could be measured
        # One checkpoint, and late, so that there are steps before it to compare with.
        checkpoint_every_steps=max(1, steps - 1),
        checkpoint_every_s=math.inf,
    )
    examples = tuple(Example(photo, CAPTION, REPEATS) for photo in photos(side_px))
    return TrainingTask(examples, dials, name="bench", on_step=on_step)
