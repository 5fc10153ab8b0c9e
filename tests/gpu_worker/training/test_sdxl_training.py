"""Trainings of SDXL: resumed bit for bit, in a wider precision after NaN, with the class preserved."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch
from safetensors.torch import load

from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import DoneEvent, FallbackCause, FallbackEvent, StartedEvent
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_fallback import trapped
from tests.gpu_worker.training.test_trainer import all_checkpoints, lora_of, request
from tests.support import diffusers_sdxl

QUICK = TrainingConfig(
    steps=3,
    resolution_px=64,
    rank=2,
    checkpoint_every_steps=1,
    save_precision="float",
    text_encoder_lrs=(1e-3, 5e-4),
    dropout=0.1,
)


def same_weights(one: bytes, other: bytes) -> bool:
    first, second = load(one), load(other)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("trouble", "dtype", "cause"),
    [
        ("memory", torch.float32, FallbackCause.OUT_OF_MEMORY),
        ("NaN", torch.bfloat16, FallbackCause.NOT_FINITE),
    ],
)
def test_memory_or_numbers_that_run_out_cost_a_memory_mode_and_not_the_training(
    photos: tuple[bytes, ...], trouble: str, dtype: torch.dtype, cause: FallbackCause
) -> None:
    base = diffusers_sdxl.build_model()
    base.set_memory_mode(replace(base.memory_mode, dtype=dtype))
    with trapped(base, {2}, trouble):
        events = list(train(base, request(photos[:2]), replace(QUICK, train_text_encoder=False)))
    assert [event.cause for event in events if isinstance(event, FallbackEvent)] == [cause]
    assert isinstance(events[-1], DoneEvent)


def test_a_killed_training_of_sdxl_resumes_bit_for_bit(tiny_xl: BaseModel, photos: tuple[bytes, ...]) -> None:
    config = replace(QUICK, steps=2)
    whole, checkpoints = all_checkpoints(train(tiny_xl, request(photos[:2]), config))
    assert checkpoints.keys() == {1}
    resumed = list(train(tiny_xl, request(photos[:2], checkpoints[1]), config))
    assert resumed[0] == StartedEvent(job_id=7, attempt=2, step=1, steps=2, family="tiny-xl")
    assert same_weights(lora_of(resumed), whole)


def test_a_lora_of_sdxl_is_trained_further_from_its_file(
    diffusers_xl: BaseModel, photos: tuple[bytes, ...]
) -> None:
    config = replace(QUICK, train_text_encoder=False, save_precision="fp16")
    first = lora_of(train(diffusers_xl, request(photos[:2]), config))
    further = replace(config, steps=1, shape_from_initial=True)
    second = list(
        train(diffusers_xl, msgspec.structs.replace(request(photos[:2]), initial_lora=first), further)
    )[-1]
    assert isinstance(second, DoneEvent)
    assert second.lora is not None
    assert not same_weights(second.lora, first)


def test_preserving_the_class_changes_what_is_learnt(
    diffusers_xl: BaseModel, photos: tuple[bytes, ...]
) -> None:
    config = replace(QUICK, steps=2, train_text_encoder=False)
    preserved = replace(config, class_preservation_weight=1.0, class_preservation_interval=1)
    plain, other = (lora_of(train(diffusers_xl, request(photos[:2]), each)) for each in (config, preserved))
    assert not same_weights(plain, other)
