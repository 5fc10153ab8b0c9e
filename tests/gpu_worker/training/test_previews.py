"""Candidates of a training: when they are made, what they hold, and that they change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.family import SD15
from gpu_worker.protocol import CandidateEvent, DoneEvent, ProgressEvent, SampleEvent, WorkerEvent
from gpu_worker.training.config import SamplePrompt, TrainingConfig, default_training_config
from gpu_worker.training.previews import is_first_sample_due
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import checkpoint_at, lora_of, request, same_weights
from tests.support.generated_images import text_of

PROMPTS = ("photo of sks person", "sks person on the beach")


def with_candidates(quick: TrainingConfig) -> TrainingConfig:
    return replace(
        quick,
        steps=4,
        save_precision="float",
        candidate_prompts=PROMPTS,
        candidates_from_step=2,
        candidate_every_steps=1,
        candidate_picture_steps=2,
    )


@pytest.fixture(scope="module")
def chosen(quick: TrainingConfig) -> TrainingConfig:
    return with_candidates(quick)


@pytest.fixture(scope="module")
def run(loaded_tiny: BaseModel, photos: tuple[bytes, ...], chosen: TrainingConfig) -> list[WorkerEvent]:
    """The events of a training with candidates."""
    return list(train(loaded_tiny, request(photos), chosen))


@pytest.fixture(scope="module")
def plain_run(loaded_tiny: BaseModel, photos: tuple[bytes, ...], chosen: TrainingConfig) -> list[WorkerEvent]:
    """The events of the same training without candidates."""
    return list(train(loaded_tiny, request(photos), replace(chosen, candidate_prompts=())))


def candidates(events: list[WorkerEvent]) -> list[CandidateEvent]:
    return [event for event in events if isinstance(event, CandidateEvent)]


def test_candidates_start_at_their_first_step_and_the_last_one_is_the_result(run: list[WorkerEvent]) -> None:
    made = candidates(run)
    assert [candidate.step for candidate in made] == [2, 3, 4]
    assert all(len(candidate.pictures) == len(PROMPTS) for candidate in made)
    assert made[0].pictures != made[2].pictures, "a LoRA that learnt draws something else"
    assert same_weights(made[-1].lora, lora_of(run))
    assert not same_weights(made[0].lora, made[-1].lora)


def test_candidates_change_nothing_of_the_lora(run: list[WorkerEvent], plain_run: list[WorkerEvent]) -> None:
    assert candidates(run)
    assert same_weights(lora_of(run), lora_of(plain_run))


def test_a_candidate_is_the_same_whenever_it_is_made(
    tiny: BaseModel, photos: tuple[bytes, ...], chosen: TrainingConfig, run: list[WorkerEvent]
) -> None:
    first, second = candidates(run), candidates(list(train(tiny, request(photos), chosen)))
    assert len(first) == 3
    assert [candidate.pictures for candidate in first] == [candidate.pictures for candidate in second]


def test_candidates_have_no_embeddings_on_a_base_model_without_an_identity_model(
    run: list[WorkerEvent],
) -> None:
    made = candidates(run)
    assert len(made) == 3
    assert all(not each.picture_embeddings and not each.photo_embeddings for each in made)


def test_candidates_are_not_made_without_prompts(plain_run: list[WorkerEvent]) -> None:
    assert isinstance(plain_run[-1], DoneEvent)
    assert not candidates(plain_run)


def test_a_lora_that_is_trained_further_is_the_first_candidate_and_steps_count_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(with_candidates(quick), candidate_prompts=PROMPTS[:1], steps=2)
    first = lora_of(train(tiny, request(photos), replace(config, candidate_prompts=())))
    continued = msgspec.structs.replace(request(photos, seed=9), initial_lora=first, start_step=1000)
    config = replace(config, sample_prompts=(SamplePrompt("a boat", steps=1),), sample_every_steps=2)
    events = list(train(tiny, continued, config))
    made = candidates(events)
    assert [candidate.step for candidate in made] == [1000, 1001, 1002]
    assert same_weights(made[0].lora, first), "as it was"
    assert not same_weights(made[-1].lora, first)
    sampled_steps = [event.step for event in events if isinstance(event, SampleEvent)]
    assert sampled_steps == [1002], "not the base model without the LoRA again"
    assert lora_file.read(lora_of(events)).metadata["ss_steps"] == "1002"
    progress_steps = {event.steps for event in events if isinstance(event, ProgressEvent)}
    assert progress_steps == {2}, "its own steps alone"
    resume = checkpoint_at(1, iter(events))
    resumed = list(train(tiny, msgspec.structs.replace(continued, resume_checkpoint=resume), config))
    assert [candidate.step for candidate in candidates(resumed)] == [1002], "the first one is not made again"
    assert same_weights(lora_of(resumed), lora_of(events))


def test_a_lora_of_another_rank_is_not_trained_further(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    first = lora_of(train(tiny, request(photos), replace(quick, rank=2)))
    continued = msgspec.structs.replace(request(photos), initial_lora=first)
    with pytest.raises(BadInput, match="another rank"):
        list(train(tiny, continued, quick))


@pytest.mark.parametrize(
    ("step", "changes", "is_due"),
    [
        (40, {}, True),
        (39, {}, False),
        (41, {}, False),
        (40, {"steps": 1000}, True),
        (40, {"steps": 999}, False),
        (40, {"sample_prompts": (SamplePrompt("a"), SamplePrompt("b"))}, False),
        (40, {"sample_prompts": ()}, False),
        (40, {"sample_at_first": False}, False),
    ],
)
def test_a_first_sample_comes_early_where_it_takes_a_hundredth_of_the_training(
    step: int, changes: dict[str, Any], is_due: bool
) -> None:
    usual = default_training_config(SD15, native_px=512)
    config = replace(usual, **{"sample_prompts": (SamplePrompt("a person"),), **changes})
    assert is_first_sample_due(step, config, SD15.sampling.fast_steps) is is_due


def test_the_first_sample_is_drawn_fast_with_the_lora_of_its_step(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(
        quick, steps=400, sample_every_steps=250, first_sample_step=2, checkpoint_every_steps=500
    )
    events = train(tiny, msgspec.structs.replace(request(photos), sample_prompt="sks person"), config)
    samples = [next(event for event in events if isinstance(event, SampleEvent)) for _ in range(2)]
    events.close()
    assert [sample.step for sample in samples] == [0, 2]
    first, early = (text_of(sample.png) for sample in samples)
    assert "Karras" in first
    assert f"Steps: {tiny.family.sampling.fast_steps}, " in early and "Align Your Steps" in early
