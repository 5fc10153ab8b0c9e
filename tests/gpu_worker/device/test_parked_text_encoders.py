"""SDXL's text encoders on a played card: they leave it while they are not used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sdxl.model import SdxlModel
from gpu_worker.protocol import ProgressEvent
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import request
from tests.support import diffusers_sdxl
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard

CARD = torch.device("cuda", 0)
ENCODERS = ("text_encoder", "text_encoder_2")
CONFIG = TrainingConfig(steps=1, resolution_px=64, rank=2)


@pytest.fixture
def base() -> Iterator[BaseModel]:
    with play(PlayedCard()):
        parts = diffusers_sdxl.build_components()
        for module in parts.modules.values():
            module.to(CARD)
        device_config = replace(diffusers_sdxl.CPU_CONFIG, device=CARD, memory_mode=MemoryMode(torch.float32))
        yield SdxlModel("played-xl", diffusers_sdxl.FAMILY, parts, device_config)


def places(base: BaseModel) -> dict[str, str]:
    return {name: str(next(part.parameters()).device.type) for name, part in base.components.items()}


def test_text_encoders_come_to_the_card_for_a_prompt_only(base: BaseModel) -> None:
    away = {"unet": "cuda", "vae": "cuda", "text_encoder": "cpu", "text_encoder_2": "cpu"}
    assert places(base) == away
    with base.text_encoders_on_card():
        assert set(places(base).values()) == {"cuda"}
    conditioning = base.encode_weighted_prompts(["sks person"], "blurry")
    assert {tensor.device.type for tensor in conditioning.tensors.values()} == {"cuda"}
    assert places(base) == away


def test_text_encoders_that_do_not_fit_stay_with_the_processor_but_learn_on_the_card(base: BaseModel) -> None:
    base.set_memory_mode(replace(base.memory_mode, text_encoder_offload=True))
    with base.text_encoders_on_card():
        assert {places(base)[name] for name in ENCODERS} == {"cpu"}
    conditioning = base.encode_weighted_prompts(["sks person"], "blurry")
    assert {tensor.device.type for tensor in conditioning.tensors.values()} == {"cuda"}
    base.keep_text_encoders(True)
    assert {places(base)[name] for name in ENCODERS} == {"cuda"}


@pytest.mark.parametrize("learns", [False, True])
def test_text_encoders_are_on_the_card_while_they_learn(
    base: BaseModel, photos: tuple[bytes, ...], learns: bool
) -> None:
    seen = [
        places(base)
        for event in train(base, request(photos[:1]), replace(CONFIG, train_text_encoder=learns))
        if isinstance(event, ProgressEvent) and event.step == 1
    ]
    assert [{place[name] for name in ENCODERS} for place in seen] == [{"cuda" if learns else "cpu"}]
    assert {places(base)[name] for name in ENCODERS} == {"cpu"}
