"""Trainings leave no memory behind."""

from __future__ import annotations

import gc
from dataclasses import replace

import psutil
import pytest

from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import request

WARM_UP = 2  # libraries keep buffers of their own after the first few


def grown(base: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, trainings: int) -> float:
    """Return by how much the process is larger after so many trainings, as a share of what it was."""
    process = psutil.Process()
    start = 0
    for number in range(WARM_UP + trainings):
        if number == WARM_UP:
            gc.collect()
            start = process.memory_info().rss
        list(train(base, request(photos, seed=number), replace(quick, steps=2)))
    gc.collect()
    return process.memory_info().rss / start - 1


def test_four_trainings_leave_memory_as_it_was(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    assert grown(tiny, photos, quick, 4) < 0.05


@pytest.mark.soak
def test_fifty_trainings_leave_memory_as_it_was(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    assert grown(tiny, photos, quick, 50) < 0.05
