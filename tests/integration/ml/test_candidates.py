"""Candidates of a training: what they are, and that they change nothing."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.base_model import BaseModel
from gpu_worker.dials import Dials
from gpu_worker.protocol import Candidate, Done, Event
from gpu_worker.training import train
from tests.integration.ml.test_training import lora_of, request, same_weights

PROMPTS = ("photo of sks person", "sks person on the beach")


def with_candidates(quick: Dials) -> Dials:
    return replace(
        quick,
        steps=4,
        save_precision="float",
        candidate_prompts=PROMPTS,
        candidates_from_step=2,
        candidate_every_steps=1,
        candidate_picture_steps=2,
    )


def candidates(events: list[Event]) -> list[Candidate]:
    return [each for each in events if isinstance(each, Candidate)]


def test_candidates_come_from_their_step_on_and_the_last_one_is_the_result(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: Dials
) -> None:
    events = list(train(tiny, request(photos), with_candidates(quick)))
    found = candidates(events)
    assert [each.step for each in found] == [2, 3, 4]
    assert all(len(each.pictures) == len(PROMPTS) for each in found)
    assert found[0].pictures != found[2].pictures, "a LoRA that learnt draws something else"
    assert same_weights(found[-1].lora, lora_of(events))
    assert not same_weights(found[0].lora, found[-1].lora)


def test_candidates_change_nothing_of_the_lora(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: Dials
) -> None:
    dials = with_candidates(quick)
    plain = lora_of(train(tiny, request(photos), replace(dials, candidate_prompts=())))
    assert same_weights(lora_of(train(tiny, request(photos), dials)), plain)


def test_a_candidate_is_the_same_whenever_it_is_made(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: Dials
) -> None:
    one, two = (candidates(list(train(tiny, request(photos), with_candidates(quick)))) for _ in range(2))
    assert [each.pictures for each in one] == [each.pictures for each in two]


def test_a_base_model_without_a_judge_says_nothing_of_people(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: Dials
) -> None:
    found = candidates(list(train(tiny, request(photos), with_candidates(quick))))
    assert all(not each.identities and not each.photo_identities for each in found)


def test_none_come_where_nobody_asked(tiny: BaseModel, photos: tuple[bytes, ...], quick: Dials) -> None:
    events = list(train(tiny, request(photos), replace(with_candidates(quick), candidate_prompts=())))
    assert isinstance(events[-1], Done)
    assert not candidates(events)
