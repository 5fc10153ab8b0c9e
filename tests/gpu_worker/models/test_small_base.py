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
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15 import drawn
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.models.sd15.family import DRAWN
from gpu_worker.training.config import default_training_config
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import lora_of, request, same_weights
from tests.support.generated_images import pixels_of

#: Nobody that the model or the judge was taught with.
PEOPLE = UNSEEN_SEED + 60_000, UNSEEN_SEED + 60_001
#: Enough to tell learning from none; the product's own settings learn more, in two minutes on one core.
QUICK_STEPS = 50
FIRST_SEED, DENOISING_STEPS = 40, 5
#: Of twelve pictures, so many must be right.
LEARNT = 10


@pytest.fixture(scope="module")
def base() -> Iterator[BaseModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_base_model(drawn.NAME)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def judge() -> IdentityModel:
    return IdentityModel.load()


Seen: TypeAlias = tuple[list[bytes], list[bytes]]


@pytest.fixture(scope="module")
def learnt(base: BaseModel) -> Seen:
    """What a LoRA of two people draws at their triggers."""
    lora = trained(base, steps=QUICK_STEPS)
    return pairs.generate_pair_pictures(base, lora, FIRST_SEED, DENOISING_STEPS)


@pytest.fixture(scope="module")
def bare(base: BaseModel) -> Seen:
    """The same of the base model alone."""
    return pairs.generate_pair_pictures(base, None, FIRST_SEED, DENOISING_STEPS)


def trained(base: BaseModel, **changed: float) -> bytes:
    settings = replace(pairs.default_pair_config(base), **changed)  # type: ignore[arg-type]
    return pairs.train_pair_lora(base, PEOPLE, settings)


def closer_than_base(bare: Seen, judge: IdentityModel, seen: Seen) -> int:
    photos = pairs.draw_pair_photos(PEOPLE)
    shares = [measures.measure_likeness_gain(judge, *each) for each in zip(photos, seen, bare, strict=True)]
    return sum(share.hits for share in shares)


def test_a_lora_draws_its_people_and_the_base_model_does_not(
    bare: Seen, judge: IdentityModel, learnt: Seen
) -> None:
    assert closer_than_base(bare, judge, learnt) >= LEARNT


def test_the_trigger_says_which_of_two_people_is_drawn(judge: IdentityModel, learnt: Seen) -> None:
    assert pairs.measure_trigger_accuracy(judge, PEOPLE, learnt).hits >= LEARNT


def test_pictures_with_a_lora_are_where_the_prompt_says(judge: IdentityModel, learnt: Seen) -> None:
    assert sum(measures.measure_place_accuracy(judge, pictures).hits for pictures in learnt) >= LEARNT


def test_a_lora_that_may_not_learn_fails_the_same_tests(
    base: BaseModel, bare: Seen, judge: IdentityModel
) -> None:
    lora = trained(base, steps=1, unet_lr=0.0, text_encoder_lr=0.0)
    prompt = measures.build_place_prompts()[:1]
    drawn_with_it = measures.generate_pictures(base, prompt, lora, FIRST_SEED, DENOISING_STEPS)
    assert pixels_of(drawn_with_it[0]).tobytes() == pixels_of(bare[0][0]).tobytes(), "so are all the others"
    assert closer_than_base(bare, judge, bare) < LEARNT
    assert pairs.measure_trigger_accuracy(judge, PEOPLE, bare).hits < LEARNT


def test_pictures_show_the_place_and_shirt_of_their_caption(base: BaseModel, judge: IdentityModel) -> None:
    found = measures.measure_caption_accuracy(base, judge, PEOPLE[0], count=6)
    assert found.place.hits >= 5
    assert found.shirt.hits >= 5


def test_the_whole_model_is_small() -> None:
    size = sum(path.stat().st_size for path in drawn.MODEL.rglob("*") if path.is_file())
    assert size < 24 * 2**20


def test_small_base_model_has_stable_diffusions_architecture(base: BaseModel) -> None:
    assert type(base.components["unet"]).__name__ == "UNet2DConditionModel"
    assert type(base.components["vae"]).__name__ == "AutoencoderKL"
    assert type(base.components["text_encoder"]).__name__ == "CLIPTextModel"
    assert base.native_px == 64
    assert base.list_targets("unet")
    assert base.list_targets("text_encoder")


def test_masks_weigh_its_latents_which_are_finer_than_stable_diffusions(
    base: BaseModel, photos: tuple[bytes, ...]
) -> None:
    file = io.BytesIO()
    Image.new("L", (96, 96), 255).save(file, "PNG")
    white = (file.getvalue(), *[None] * (len(photos) - 1))
    config = replace(default_training_config(DRAWN, base.native_px), steps=2)
    plain = request(photos)
    masked = msgspec.structs.replace(plain, masks=white)
    assert same_weights(lora_of(train(base, masked, config)), lora_of(train(base, plain, config)))


def test_any_text_can_be_read(base: BaseModel) -> None:
    for text in ("", "sks person on mars", "日本語 é 😀", "x" * 5000):
        with torch.no_grad():
            assert base.encode_prompts([text]).tensors["prompt_embeds"].isfinite().all()
