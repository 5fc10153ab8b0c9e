"""Measure whether the trigger selects the person in one LoRA of two, whose captions differ only in it.

A LoRA of one person draws that person whatever its captions say: a missing trigger cannot be seen there. Of
two people only the words can say which one is meant.
"""

from __future__ import annotations

from dataclasses import replace

import drawn
from benchmarks.small_base.measures import (
    CLASS_WORD,
    TOKEN,
    HitRate,
    build_place_prompts,
    default_config,
    generate_pictures,
    measure_likeness_gain,
    train_lora,
)
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.training.config import TrainingConfig

#: What the captions of the first and of the second person begin with.
TOKENS = (TOKEN, "ohwx")
#: Other trigger words for the two, as another job would have.
OTHER_TOKENS = ("zxq", "brn")
#: Ten times the usual rate: the tokens have no meaning at first, and only they distinguish the two people. At
#: the usual rate some LoRAs learn which person was seen in which place instead (docs/small-base.md).
TEXT_ENCODER_LR = 5e-3


def draw_pair_photos(people: tuple[int, int]) -> tuple[list[bytes], list[bytes]]:
    """Return five photos of each of two drawn people, both in the same five places.

    A place that only one of them had been seen at would speak for that one.
    """
    places = drawn.sample_places(people[0])
    first, second = (drawn.sample_photos(person, places=places) for person in people)
    return first, second


def build_pair_captions(people: tuple[int, int], tokens: tuple[str, str] = TOKENS) -> tuple[str, ...]:
    """Return the caption of each photo: person and place, so that neither has to be inferred."""
    return tuple(
        f"{token} {CLASS_WORD} {drawn.PLACES[place]}".strip()
        for token in tokens
        for place in drawn.sample_places(people[0])
    )


def default_pair_config(base: BaseModel) -> TrainingConfig:
    """Return the product's settings with a higher text encoder rate, and without samples and candidates."""
    return replace(default_config(base), text_encoder_lr=TEXT_ENCODER_LR, candidate_every_steps=None)


def train_pair_lora(
    base: BaseModel,
    people: tuple[int, int],
    config: TrainingConfig | None = None,
    tokens: tuple[str, str] = TOKENS,
    seed: int = 0,
) -> bytes:
    """Train one LoRA of two people with the product's own trainer."""
    first, second = draw_pair_photos(people)
    captions = build_pair_captions(people, tokens)
    return train_lora(base, [*first, *second], config or default_pair_config(base), tokens[0], seed, captions)


def generate_pair_pictures(
    base: BaseModel, lora_data: bytes | None, first_seed: int, steps: int | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Draw each of the two by their trigger, at every place and with the same seeds."""
    first, second = (
        generate_pictures(base, build_place_prompts(f"{token} {CLASS_WORD}"), lora_data, first_seed, steps)
        for token in TOKENS
    )
    return first, second


def measure_trigger_accuracy(
    identity_model: IdentityModel, people: tuple[int, int], pair_pictures: tuple[list[bytes], list[bytes]]
) -> HitRate:
    """Count how often a person is more on the picture of their trigger than on that of the other's."""
    (first_photos, second_photos), (first_pictures, second_pictures) = draw_pair_photos(people), pair_pictures
    return measure_likeness_gain(
        identity_model, first_photos, first_pictures, second_pictures
    ) + measure_likeness_gain(identity_model, second_photos, second_pictures, first_pictures)
