"""The small trained base model draws what it is told, and a LoRA on it learns its person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

import drawn
from gpu_worker import small_base
from gpu_worker.base_model import BaseModel
from gpu_worker.small_base import measures
from gpu_worker.small_base.judge import Judge
from gpu_worker.small_base.settings import SmallBaseSettings

PERSON = SmallBaseSettings().unseen_seed + 60_000
#: Enough to tell learning from none; the product's own settings learn more.
QUICK = {"steps": 60, "batch_size": 4}


@pytest.fixture(scope="module")
def base() -> Iterator[BaseModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield BaseModel.load(small_base.NAME)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.load()


def closer_than_base(base: BaseModel, judge: Judge, unet_rate: float) -> measures.Share:
    photos = drawn.sample_photos(PERSON)
    settings = replace(measures.usual(base), **QUICK, unet_rate=unet_rate, text_rate=unet_rate / 4)  # type: ignore[arg-type]
    lora = measures.lora(base, photos, settings)
    prompts = measures.place_prompts()
    own = measures.pictures(base, prompts, lora, first_seed=40, steps=10)
    bare = measures.pictures(base, prompts, None, first_seed=40, steps=10)
    return measures.closer(judge, photos, own, bare)


def test_a_lora_learns_its_person(base: BaseModel, judge: Judge) -> None:
    assert closer_than_base(base, judge, unet_rate=2e-3).right >= 5


def test_a_lora_that_may_not_learn_fails_the_same_test(base: BaseModel, judge: Judge) -> None:
    assert closer_than_base(base, judge, unet_rate=0.0).right < 5


def test_pictures_show_the_place_and_shirt_of_their_caption(base: BaseModel, judge: Judge) -> None:
    found = measures.quality(base, judge, PERSON, count=8)
    assert found.place.right >= 7
    assert found.shirt.right >= 6


def test_the_whole_model_is_small() -> None:
    size = sum(path.stat().st_size for path in small_base.MODEL.rglob("*") if path.is_file())
    assert size < 24 * 2**20


def test_it_is_stable_diffusions_architecture(base: BaseModel) -> None:
    assert type(base.unet).__name__ == "UNet2DConditionModel"
    assert type(base.vae).__name__ == "AutoencoderKL"
    assert type(base.text_encoder).__name__ == "CLIPTextModel"
    assert base.native_px == 64
    assert base.unet_targets
    assert base.text_targets


def test_any_text_can_be_read(base: BaseModel) -> None:
    for text in ("", "sks person on mars", "日本語 é 😀", "x" * 5000):
        with torch.no_grad():
            assert base.embed([text]).isfinite().all()
