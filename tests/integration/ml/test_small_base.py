"""The small trained base model draws what it is told, and a LoRA on it learns its person."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import msgspec
import pytest
import torch
from PIL import Image

from benchmarks.small_base import measures, pairs
from drawn import UNSEEN_SEED
from gpu_worker.models import drawn
from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Judge
from gpu_worker.training.config import training_dials
from gpu_worker.training.trainer import train
from tests.integration.ml.test_training import lora_of, request, same_weights

#: Nobody that the model or the judge was taught with.
PEOPLE = UNSEEN_SEED + 60_000, UNSEEN_SEED + 60_001
#: Enough to tell learning from none; the product's own settings learn more, in two minutes on one core.
QUICK_STEPS = 100
FIRST_SEED, DENOISING_STEPS = 40, 10
#: Of twelve pictures, so many must be right.
LEARNT = 10


@pytest.fixture(scope="module")
def base() -> Iterator[BaseModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield BaseModel.load(drawn.NAME)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


Seen: TypeAlias = tuple[list[bytes], list[bytes]]


@pytest.fixture(scope="module")
def learnt(base: BaseModel) -> Seen:
    """What a LoRA of two people draws at their triggers."""
    return trained(base, steps=QUICK_STEPS)


@pytest.fixture(scope="module")
def unlearnt(base: BaseModel) -> Seen:
    """The same of a trainer that changes nothing."""
    return trained(base, steps=1, unet_rate=0.0, text_rate=0.0)


def trained(base: BaseModel, **changed: float) -> Seen:
    settings = replace(pairs.settings_of_two(base), **changed)  # type: ignore[arg-type]
    lora = pairs.lora_of_two(base, PEOPLE, settings)
    return pairs.pictures_of_two(base, lora, FIRST_SEED, DENOISING_STEPS)


def closer_than_base(base: BaseModel, judge: Judge, seen: Seen) -> int:
    photos, bare = pairs.photos_of(PEOPLE), pairs.pictures_of_two(base, None, FIRST_SEED, DENOISING_STEPS)
    shares = [measures.closer(judge, *each) for each in zip(photos, seen, bare, strict=True)]
    return sum(share.right for share in shares)


def test_a_lora_draws_its_people_and_the_base_model_does_not(
    base: BaseModel, judge: Judge, learnt: Seen
) -> None:
    assert closer_than_base(base, judge, learnt) >= LEARNT


def test_the_trigger_says_which_of_two_people_is_drawn(judge: Judge, learnt: Seen) -> None:
    assert pairs.told_apart(judge, PEOPLE, learnt).right >= LEARNT


def test_pictures_with_a_lora_are_where_the_prompt_says(judge: Judge, learnt: Seen) -> None:
    assert sum(measures.obeys(judge, pictures).right for pictures in learnt) >= LEARNT


def test_a_lora_that_may_not_learn_fails_the_same_tests(
    base: BaseModel, judge: Judge, unlearnt: Seen
) -> None:
    assert closer_than_base(base, judge, unlearnt) < LEARNT
    assert pairs.told_apart(judge, PEOPLE, unlearnt).right < LEARNT


def test_pictures_show_the_place_and_shirt_of_their_caption(base: BaseModel, judge: Judge) -> None:
    found = measures.quality(base, judge, PEOPLE[0], count=8)
    assert found.place.right >= 7
    assert found.shirt.right >= 6


def test_the_whole_model_is_small() -> None:
    size = sum(path.stat().st_size for path in drawn.MODEL.rglob("*") if path.is_file())
    assert size < 24 * 2**20


def test_it_is_stable_diffusions_architecture(base: BaseModel) -> None:
    assert type(base.unet).__name__ == "UNet2DConditionModel"
    assert type(base.vae).__name__ == "AutoencoderKL"
    assert type(base.text_encoder).__name__ == "CLIPTextModel"
    assert base.native_px == 64
    assert base.unet_targets
    assert base.text_targets


def test_masks_weigh_its_latents_which_are_finer_than_stable_diffusions(
    base: BaseModel, photos: tuple[bytes, ...]
) -> None:
    file = io.BytesIO()
    Image.new("L", (96, 96), 255).save(file, "PNG")
    white = (file.getvalue(), *[None] * (len(photos) - 1))
    dials = replace(training_dials("drawn", base.native_px), steps=2)
    plain = request(photos)
    masked = msgspec.structs.replace(plain, masks=white)
    assert same_weights(lora_of(train(base, masked, dials)), lora_of(train(base, plain, dials)))


def test_any_text_can_be_read(base: BaseModel) -> None:
    for text in ("", "sks person on mars", "日本語 é 😀", "x" * 5000):
        with torch.no_grad():
            assert base.embed([text]).isfinite().all()
