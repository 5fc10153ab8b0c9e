"""The training that every probe runs, so that all figures are of the same work."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.work import CAPTION, RANK, REPEATS, sample_person_photos
from gpu_worker.lora.config import NetworkConfig
from gpu_worker.lora.network import init_weights
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.trainer import StepReport, TrainingTask

#: None: what the program itself chooses for this machine.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "default": None}


def parse_arguments() -> argparse.Namespace:
    """Parse the command line of a probe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--precision", choices=list(DTYPES), default="default")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels")
    parser.add_argument("--unet-only", action="store_true", help="no text encoder learns")
    return parser.parse_args()


def random_lora(base: BaseModel, seed: int = 0) -> dict[str, LoraWeights]:
    """Return a LoRA of random weights for all modules; times do not depend on its values."""
    generator = torch.Generator().manual_seed(seed)
    targets = (*base.list_targets("unet"), *base.list_targets("text_encoder"))
    fresh_weights = init_weights(targets, NetworkConfig(), RANK, RANK / 2, generator)
    return {
        name: replace(weights, up=torch.randn(weights.up.shape, generator=generator) * 0.01)
        for name, weights in fresh_weights.items()
        if isinstance(weights, LoraWeights)
    }


def make_training_task(
    side_px: int, steps: int, on_step: Callable[[StepReport], None], unet_only: bool = False
) -> TrainingTask:
    """Return a training as sd-scripts does it with the flags in `benchmarks/peer.py`."""
    config = replace(
        TrainingConfig(),
        steps=steps,
        resolution_px=side_px,
        rank=RANK,
        train_text_encoder=not unet_only,
        min_snr_gamma=None,  # as sd-scripts; it costs nothing that could be measured
        # One checkpoint, and late, so that there are steps before it to compare with.
        checkpoint_every_steps=max(1, steps - 1),
        checkpoint_every_s=math.inf,
    )
    training_images = tuple(TrainingImage(photo, CAPTION, REPEATS) for photo in sample_person_photos(side_px))
    return TrainingTask(training_images, config, name="bench", on_step=on_step)
