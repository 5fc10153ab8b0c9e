"""Measure pictures of the small base model, with and without a LoRA."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import drawn
from gpu_worker.generation import generate
from gpu_worker.generation.context import GenerationContext
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.drawn.judge import DrawingAttributes, IdentityModel
from gpu_worker.protocol import DoneEvent, GenerateRequest, LoraUse, TrainRequest, WorkerEvent
from gpu_worker.training import config, trainer
from gpu_worker.training.config import TrainingConfig

TOKEN, CLASS_WORD = "sks", "person"
TRIGGER = f"{TOKEN} {CLASS_WORD}"
#: The places that a LoRA is asked to put its person into, each with its own seeds.
PLACES = tuple(drawn.PLACES)


@dataclass(frozen=True)
class HitRate:
    """How often something was right."""

    hits: int
    total: int

    @property
    def rate(self) -> float:
        """As a number from 0 to 1."""
        return self.hits / self.total

    def __add__(self, other: HitRate) -> HitRate:
        return HitRate(self.hits + other.hits, self.total + other.total)


def train_lora(
    base: BaseModel,
    photos: Sequence[bytes],
    config: TrainingConfig | None = None,
    token: str = TOKEN,
    seed: int = 0,
    captions: Sequence[str] = (),
) -> bytes:
    """Train a LoRA with the product's own trainer and, by default, its own settings.

    `captions`, one a photo, are the trigger alone where there are none.
    """
    request = TrainRequest(
        job_id=0,
        attempt=0,
        photos=tuple(photos),
        captions=tuple(captions),
        token=token,
        class_word=CLASS_WORD,
        seed=seed,
    )
    done = _get_last_event(trainer.train(base, request, config or default_config(base)))
    assert done.lora is not None  # noqa: S101 - a training that is done has one
    return done.lora


def default_config(base: BaseModel) -> TrainingConfig:
    """Return the product's settings, without samples."""
    return replace(config.default_training_config(base.family, base.native_px), sample_every_steps=None)


def generate_pictures(
    base: BaseModel,
    prompts: Sequence[str],
    lora: bytes | None,
    first_seed: int,
    steps: int | None = None,
    is_fast: bool = False,
) -> list[bytes]:
    """Draw a picture of each prompt as the product does, each with a seed of its own."""
    generated: list[bytes] = []
    context = GenerationContext(base)
    lora_uses = (
        () if lora is None else (LoraUse(data=lora, sha256=hashlib.sha256(lora).hexdigest(), name="lora"),)
    )
    for index, prompt in enumerate(prompts):
        request = GenerateRequest(
            job_id=0,
            attempt=0,
            prompt=prompt,
            seed=first_seed + index,
            steps=steps,
            is_fast=is_fast,
            loras=lora_uses,
        )
        generated += _get_last_event(generate.generate(context, request)).pictures
    return generated


def _get_last_event(events: Any) -> DoneEvent:
    last_event: WorkerEvent | None = None
    for last_event in events:  # noqa: B007 - the last one is wanted
        pass
    assert isinstance(last_event, DoneEvent)  # noqa: S101 - an error would have been raised
    return last_event


def build_place_prompts(trigger: str = TRIGGER) -> list[str]:
    """Return a prompt for every place."""
    return [f"{trigger} {place_words}" for place_words in drawn.PLACES.values()]


@dataclass(frozen=True)
class CaptionAccuracy:
    """How often pictures of the base model without a LoRA show the attributes of their caption."""

    place: HitRate
    shirt: HitRate
    hair: HitRate


def measure_caption_accuracy(
    base: BaseModel, identity_model: IdentityModel, first_seed: int, count: int
) -> CaptionAccuracy:
    """Draw unseen people's captions; hair counts where the caption names a colour or none."""
    expected, captions = [], []
    for seed in range(first_seed, first_seed + count):
        person, scene = drawn.identity(seed), drawn.scene(seed)
        expected.append(DrawingAttributes.from_drawing(person, scene))
        captions.append(drawn.caption(person, scene))
    predicted = identity_model.predict_attributes(generate_pictures(base, captions, None, first_seed))
    pairs = list(zip(predicted, expected, strict=True))
    named_pairs = [(prediction, label) for prediction, label in pairs if label.hair != "unnamed"]
    return CaptionAccuracy(
        place=HitRate(sum(prediction.place == label.place for prediction, label in pairs), count),
        shirt=HitRate(sum(prediction.shirt == label.shirt for prediction, label in pairs), count),
        hair=HitRate(
            sum(prediction.hair == label.hair for prediction, label in named_pairs), len(named_pairs)
        ),
    )


def measure_likeness_gain(
    identity_model: IdentityModel,
    photos: Sequence[bytes],
    pictures: Sequence[bytes],
    other_pictures: Sequence[bytes],
) -> HitRate:
    """Count how often a picture is more like the photos than its counterpart is."""
    is_closer = identity_model.score_likeness(pictures, photos) > identity_model.score_likeness(
        other_pictures, photos
    )
    return HitRate(int(is_closer.sum()), len(pictures))


def measure_class_similarity(
    identity_model: IdentityModel, class_pictures: Sequence[bytes], base_pictures: Sequence[bytes]
) -> float:
    """Return how alike the people are in pictures of the class with and without a LoRA, -1 .. 1."""
    return float(
        (identity_model.embed(class_pictures) * identity_model.embed(base_pictures)).sum(dim=1).mean()
    )


def measure_place_accuracy(identity_model: IdentityModel, drawn_pictures: Sequence[bytes]) -> HitRate:
    """Count how often the prompted place is right in pictures of `place_prompts`."""
    predicted = identity_model.predict_attributes(drawn_pictures)
    expected_places = [PLACES[number % len(PLACES)] for number in range(len(drawn_pictures))]
    hits = sum(
        prediction.place == place for prediction, place in zip(predicted, expected_places, strict=True)
    )
    return HitRate(hits, len(drawn_pictures))
