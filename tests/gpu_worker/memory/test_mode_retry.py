"""A mode that was lowered is tried again: after an hour, or when there is enough memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.generation.denoiser import BatchedDenoiser
from gpu_worker.memory.mode_retry import ModeRetry
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import FallbackEvent
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_fallback import trapped
from tests.gpu_worker.training.test_trainer import request

GIB = 2**30
HOUR_S = 3600.0


class Clock:
    """A clock that is set by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("passed_s", "free_bytes", "is_tried"),
    [
        (HOUR_S - 1, None, False),  # a CPU
        (HOUR_S, None, True),
        (60.0, int(1.2 * GIB), False),
        (60.0, int(1.3 * GIB) + 1, True),
        (HOUR_S, 0, True),
    ],
)
def test_the_upper_mode_is_tried_after_an_hour_or_with_enough_memory_and_once(
    clock: Clock, passed_s: float, free_bytes: int | None, is_tried: bool
) -> None:
    mode_retry = ModeRetry(clock)
    assert not mode_retry.take(10 * GIB, GIB)  # nothing was lowered
    mode_retry.note_fallback()
    clock.now_s += passed_s
    assert mode_retry.take(free_bytes, GIB) is is_tried
    assert mode_retry.take(free_bytes, GIB) is False


@pytest.fixture
def lowered(tiny: BaseModel, clock: Clock) -> Iterator[BaseModel]:
    """Yield a base model whose time for the next trial is set by hand."""
    usual = tiny.mode_retry
    tiny.mode_retry = ModeRetry(clock)
    yield tiny
    tiny.mode_retry = usual


def test_a_later_training_begins_in_the_upper_mode_again(
    lowered: BaseModel, clock: Clock, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config, chosen = replace(quick, steps=1, train_text_encoder=False), lowered.memory_mode
    modest = MemoryMode(torch.float32, gradient_checkpointing=True)
    with trapped(lowered, {1}, "memory"):
        assert any(isinstance(event, FallbackEvent) for event in train(lowered, request(photos), config))
        list(train(lowered, request(photos), config))
        assert lowered.memory_mode == modest
        clock.now_s += HOUR_S
        events = list(train(lowered, request(photos), config))
        assert not [event for event in events if isinstance(event, FallbackEvent)]
        assert lowered.memory_mode == chosen


def test_rows_are_drawn_together_again(tiny: BaseModel, clock: Clock) -> None:
    denoiser = BatchedDenoiser(tiny, mode_retry=ModeRetry(clock))
    denoiser.draw_row_by_row()
    denoiser.retry_batches()
    assert denoiser.is_sequential
    clock.now_s += HOUR_S
    denoiser.retry_batches()
    assert not denoiser.is_sequential
