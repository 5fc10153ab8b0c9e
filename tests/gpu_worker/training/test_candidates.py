"""Candidates of a training: what they are, and that they change nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import CandidateEvent, DoneEvent, ProgressEvent, SampleEvent, WorkerEvent
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import checkpoint_at, lora_of, request, same_weights

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


def candidates(events: list[WorkerEvent]) -> list[CandidateEvent]:
    return [each for each in events if isinstance(each, CandidateEvent)]


def test_candidates_come_from_their_step_on_and_the_last_one_is_the_result(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    events = list(train(tiny, request(photos), with_candidates(quick)))
    found = candidates(events)
    assert [each.step for each in found] == [2, 3, 4]
    assert all(len(each.pictures) == len(PROMPTS) for each in found)
    assert found[0].pictures != found[2].pictures, "a LoRA that learnt draws something else"
    assert same_weights(found[-1].lora, lora_of(events))
    assert not same_weights(found[0].lora, found[-1].lora)


def test_candidates_change_nothing_of_the_lora(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    dials = with_candidates(quick)
    plain = lora_of(train(tiny, request(photos), replace(dials, candidate_prompts=())))
    assert same_weights(lora_of(train(tiny, request(photos), dials)), plain)


def test_a_candidate_is_the_same_whenever_it_is_made(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    one, two = (candidates(list(train(tiny, request(photos), with_candidates(quick)))) for _ in range(2))
    assert [each.pictures for each in one] == [each.pictures for each in two]


def test_a_base_model_without_a_judge_says_nothing_of_people(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    found = candidates(list(train(tiny, request(photos), with_candidates(quick))))
    assert all(not each.picture_embeddings and not each.photo_embeddings for each in found)


def test_none_come_where_nobody_asked(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    events = list(train(tiny, request(photos), replace(with_candidates(quick), candidate_prompts=())))
    assert isinstance(events[-1], DoneEvent)
    assert not candidates(events)


def test_a_lora_that_is_gone_on_with_is_a_candidate_itself_and_counts_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    dials = replace(with_candidates(quick), candidate_prompts=PROMPTS[:1], steps=2)
    first = lora_of(train(tiny, request(photos), replace(dials, candidate_prompts=())))
    onward = msgspec.structs.replace(request(photos, seed=9), initial_lora=first, start_step=1000)
    dials = replace(dials, sample_prompts=(SamplePrompt("a boat", steps=1),), sample_every_steps=2)
    events = list(train(tiny, onward, dials))
    found = candidates(events)
    assert [each.step for each in found] == [1000, 1001, 1002]
    assert same_weights(found[0].lora, first), "as it was"
    assert not same_weights(found[-1].lora, first)
    assert [each.step for each in events if isinstance(each, SampleEvent)] == [1002], (
        "not the bare model again"
    )
    assert lora_file.read(lora_of(events)).metadata["ss_steps"] == "1002"
    assert {each.steps for each in events if isinstance(each, ProgressEvent)} == {2}, "its own steps alone"
    resume = checkpoint_at(1, iter(events))
    rest = list(train(tiny, msgspec.structs.replace(onward, resume_checkpoint=resume), dials))
    assert [each.step for each in candidates(rest)] == [1002], "what it was is not drawn again after a crash"
    assert same_weights(lora_of(rest), lora_of(events))


def test_a_lora_of_another_kind_of_base_model_is_not_gone_on_with(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    first = lora_of(train(tiny, request(photos), replace(quick, rank=2)))
    onward = msgspec.structs.replace(request(photos), initial_lora=first)
    with pytest.raises(BadInput, match="another rank"):
        list(train(tiny, onward, quick))
