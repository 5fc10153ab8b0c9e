"""Has it learnt? Pictures of the small base model, with and without a LoRA, judged by number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import drawn
from gpu_worker.generation import generate
from gpu_worker.generation.generate import Room
from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Attributes, Judge
from gpu_worker.protocol import Done, Event, Generate, LoraUse, Train
from gpu_worker.training import config, trainer
from gpu_worker.training.config import Dials

TOKEN, CLASS_WORD = "sks", "person"
TRIGGER = f"{TOKEN} {CLASS_WORD}"
#: The places that a LoRA is asked to put its person into, each with its own seeds.
PLACES = tuple(drawn.PLACES)


@dataclass(frozen=True)
class Share:
    """How often something was right."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """As a number from 0 to 1."""
        return self.right / self.of

    def __add__(self, other: Share) -> Share:
        return Share(self.right + other.right, self.of + other.of)


def lora(
    base: BaseModel,
    photos: Sequence[bytes],
    settings: Dials | None = None,
    token: str = TOKEN,
    seed: int = 0,
    captions: Sequence[str] = (),
) -> bytes:
    """Train a LoRA with the product's own trainer and, unless told otherwise, its own settings.

    `captions`, one a photo, are the trigger alone where there are none.
    """
    request = Train(
        job_id=0,
        attempt=0,
        photos=tuple(photos),
        captions=tuple(captions),
        token=token,
        class_word=CLASS_WORD,
        seed=seed,
    )
    last = _last(trainer.train(base, request, settings or usual(base)))
    assert last.lora is not None  # noqa: S101 - a training that is done has one
    return last.lora


def usual(base: BaseModel) -> Dials:
    """Return the product's settings, without samples."""
    return replace(config.training_dials(base.kind, base.native_px), sample_every_steps=None)


def pictures(
    base: BaseModel, prompts: Sequence[str], file: bytes | None, first_seed: int, steps: int | None = None
) -> list[bytes]:
    """Draw a picture of each prompt as the product does, each with a seed of its own."""
    found: list[bytes] = []
    room = Room(base)
    uses = () if file is None else (LoraUse(data=file, sha256=hashlib.sha256(file).hexdigest(), name="lora"),)
    for number, prompt in enumerate(prompts):
        request = Generate(
            job_id=0, attempt=0, prompt=prompt, seed=first_seed + number, steps=steps, loras=uses
        )
        found += _last(generate.generate(room, request)).pictures
    return found


def _last(events: Any) -> Done:
    last: Event | None = None
    for last in events:  # noqa: B007 - the last one is wanted
        pass
    assert isinstance(last, Done)  # noqa: S101 - an error would have been raised
    return last


def place_prompts(trigger: str = TRIGGER) -> list[str]:
    """Return a prompt for every place."""
    return [f"{trigger} {words}" for words in drawn.PLACES.values()]


@dataclass(frozen=True)
class Quality:
    """How often pictures of the bare base model show what their caption says."""

    place: Share
    shirt: Share
    hair: Share


def quality(base: BaseModel, judge: Judge, first_seed: int, count: int) -> Quality:
    """Draw unseen people's captions; hair counts where the caption names a colour or none."""
    told, captions = [], []
    for seed in range(first_seed, first_seed + count):
        person, where = drawn.identity(seed), drawn.scene(seed)
        told.append(Attributes.of(person, where))
        captions.append(drawn.caption(person, where))
    seen = judge.attributes(pictures(base, captions, None, first_seed))
    pairs = list(zip(seen, told, strict=True))
    named = [(found, said) for found, said in pairs if said.hair != "unnamed"]
    return Quality(
        place=Share(sum(found.place == said.place for found, said in pairs), count),
        shirt=Share(sum(found.shirt == said.shirt for found, said in pairs), count),
        hair=Share(sum(found.hair == said.hair for found, said in named), len(named)),
    )


def closer(judge: Judge, photos: Sequence[bytes], own: Sequence[bytes], other: Sequence[bytes]) -> Share:
    """Count how often a picture is more like the photos than its counterpart is."""
    gained = judge.likeness(own, photos) > judge.likeness(other, photos)
    return Share(int(gained.sum()), len(own))


def keeps(judge: Judge, of_class: Sequence[bytes], bare: Sequence[bytes]) -> float:
    """Return how alike the people are in pictures of the class with and without a LoRA, -1 .. 1."""
    return float((judge.identity(of_class) * judge.identity(bare)).sum(dim=1).mean())


def obeys(judge: Judge, drawn_pictures: Sequence[bytes]) -> Share:
    """Count how often the prompted place is right in pictures of `place_prompts`."""
    seen = judge.attributes(drawn_pictures)
    wanted = [PLACES[number % len(PLACES)] for number in range(len(drawn_pictures))]
    right = sum(found.place == place for found, place in zip(seen, wanted, strict=True))
    return Share(right, len(drawn_pictures))
