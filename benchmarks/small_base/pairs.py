"""Does the trigger say who it is? One LoRA of two people, whose captions differ in their token alone.

A LoRA of one person draws that person whatever its captions say: a missing trigger cannot be seen there. Of
two people only the words can say which one is meant.
"""

from __future__ import annotations

from dataclasses import replace

import drawn
from benchmarks.small_base.measures import (
    CLASS_WORD,
    TOKEN,
    Share,
    closer,
    lora,
    pictures,
    place_prompts,
    usual,
)
from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Judge
from gpu_worker.training.config import Dials

#: What the captions of the first and of the second person begin with.
TOKENS = (TOKEN, "ohwx")
#: What they begin with where a job has the words of another one.
OTHER_TOKENS = ("zxq", "brn")
#: The tokens say nothing at first, and all that tells the two apart is in them: ten times the usual rate. At
#: the usual one the LoRA learns by heart who was seen where, for some pairs (docs/small-base.md).
TEXT_RATE = 5e-3


def photos_of(people: tuple[int, int]) -> tuple[list[bytes], list[bytes]]:
    """Return five photos of each of two drawn people, both in the same five places.

    A place that only one of them had been seen at would speak for that one.
    """
    places = drawn.sample_places(people[0])
    first, second = (drawn.sample_photos(person, places=places) for person in people)
    return first, second


def captions_of(people: tuple[int, int], tokens: tuple[str, str] = TOKENS) -> tuple[str, ...]:
    """Say of each of their photos who is on it and where: what is not said would have to be guessed."""
    return tuple(
        f"{token} {CLASS_WORD} {drawn.PLACES[place]}".strip()
        for token in tokens
        for place in drawn.sample_places(people[0])
    )


def settings_of_two(base: BaseModel) -> Dials:
    """Return the product's settings, with words that learn faster, and without what comes out on the way."""
    return replace(usual(base), text_rate=TEXT_RATE, candidate_every_steps=None)


def lora_of_two(
    base: BaseModel,
    people: tuple[int, int],
    settings: Dials | None = None,
    tokens: tuple[str, str] = TOKENS,
    seed: int = 0,
) -> bytes:
    """Train one LoRA of two people with the product's own trainer."""
    first, second = photos_of(people)
    captions = captions_of(people, tokens)
    return lora(base, [*first, *second], settings or settings_of_two(base), tokens[0], seed, captions)


def pictures_of_two(
    base: BaseModel, file: bytes | None, first_seed: int, steps: int | None = None
) -> tuple[list[bytes], list[bytes]]:
    """Draw each of the two by their trigger, at every place and with the same seeds."""
    first, second = (
        pictures(base, place_prompts(f"{token} {CLASS_WORD}"), file, first_seed, steps) for token in TOKENS
    )
    return first, second


def told_apart(judge: Judge, people: tuple[int, int], seen: tuple[list[bytes], list[bytes]]) -> Share:
    """Count how often a person is more on the picture of their trigger than on that of the other's."""
    (first, second), (one, other) = photos_of(people), seen
    return closer(judge, first, one, other) + closer(judge, second, other, one)
