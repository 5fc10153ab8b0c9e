"""What the base model draws for the bare class word stays: the loss for it, and that it works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15 import tiny as models_tiny
from gpu_worker.protocol import StartedEvent
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.step import TrainStep
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_parity import (
    PLAIN,
    Case,
    InMemoryDataset,
    check_equal,
    our_gradients,
    read,
    reference_draw,
    reference_gradients,
    reference_loss,
    start,
    studies,
)
from tests.gpu_worker.training.test_trainer import all_checkpoints, lora_of, request, same_weights

BARE = Case(
    replace(PLAIN, class_preservation_weight=0.7),
    captions=("sks person", "a photo of sks person"),
    trigger="sks",
)


def with_bare_class(unet: Any, text_encoder: Any, case: Case, order: list[int]) -> Tensor:
    """Add what a textbook would: of two pictures the second is shown again, and counts for both."""
    draw, words = reference_draw(unet, text_encoder, case, order), studies(case)[order[1]].image.caption
    bare = words.replace("sks ", "")
    noisy, times = draw.noisy[1:], draw.times[1:]
    own_unet, _, own_text_encoder = models_tiny.build_parts()

    def own(text: str) -> Tensor:
        with torch.no_grad():
            told: Tensor = own_unet(noisy, times, read(own_text_encoder, [text], None)).sample
            return told

    def told(text: str) -> Tensor:
        answer: Tensor = unet(noisy, times, read(text_encoder, [text], None)).sample
        return answer

    loss = reference_loss(unet, text_encoder, case, order)
    return loss + case.config.class_preservation_weight * F.mse_loss(told(bare), own(bare))


def test_every_gradient_of_the_preservation_equals_a_reference_step(tiny: BaseModel) -> None:
    ours, matrices, order = our_gradients(tiny, BARE)
    check_equal(ours, reference_gradients(tiny, BARE, matrices, order, with_bare_class))
    plain, _, _ = our_gradients(
        tiny, replace(BARE, config=replace(BARE.config, class_preservation_weight=0.0))
    )
    assert any(not torch.equal(down, plain[name][0]) for name, (down, _) in ours.items())


def test_a_caption_without_the_trigger_is_learnt_as_ever(tiny: BaseModel) -> None:
    """A photo whose words are the class's own cannot be kept apart from the class."""
    case = replace(BARE, captions=("person", "a photo of a person"))
    ours, _, _ = our_gradients(tiny, case)
    plain, _, _ = our_gradients(
        tiny, replace(case, config=replace(case.config, class_preservation_weight=0.0))
    )
    assert all(
        torch.equal(one, two) for name in ours for one, two in zip(ours[name], plain[name], strict=True)
    )


def test_single_pictures_are_shown_again_by_turns_and_count_for_all(tiny: BaseModel) -> None:
    config = replace(BARE.config, batch_size=1, class_preservation_interval=3)
    state = TrainingState(tiny, config)
    start(state)
    lesson, plain = (
        TrainStep(tiny, each, InMemoryDataset(studies(BARE)))
        for each in (config, replace(config, class_preservation_weight=0.0))
    )
    differences = []
    for number in range(6):
        losses = []
        for each in (lesson, plain):
            state.generator.manual_seed(number)
            state.adapter.activate()
            with torch.no_grad():
                losses.append(float(each.compute_loss(state, number)))
        differences.append(losses[0] > losses[1])
    state.adapter.deactivate()
    assert differences == [False, False, True, False, False, True]


def test_a_preserving_training_killed_at_any_step_gives_the_same_lora_bit_for_bit(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, steps=3, save_precision="float", class_preservation_weight=1.0, dropout=0.1)
    whole, checkpoints = all_checkpoints(train(tiny, request(photos), config))
    for step in (1, 2):
        resumed = list(train(tiny, request(photos, checkpoints[step]), config))
        assert resumed[0] == StartedEvent(job_id=7, attempt=2, step=step, steps=3, family="tiny")
        assert same_weights(lora_of(resumed), whole)
    assert not same_weights(
        lora_of(train(tiny, request(photos), replace(config, class_preservation_weight=0.0))), whole
    )
