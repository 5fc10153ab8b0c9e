"""Whole stories on the embedded klein and Z-Image with the real worker: a code, a picture, the file."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load

from bot.core.loras import LoraCode, format_code
from bot.jobs.backends.local import ProcessBackend
from gpu_worker.device.placement import select_device
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.klein import tiny as tiny_klein
from gpu_worker.models.flow.klein.family import TINY_KLEIN
from gpu_worker.models.flow.klein.model import KleinModel
from gpu_worker.models.flow.z_image import tiny as tiny_z_image
from gpu_worker.models.flow.z_image.family import TINY_Z_IMAGE
from gpu_worker.models.flow.z_image.model import ZImageModel
from gpu_worker.models.text.qwen3.config import SMALL
from tests.acceptance import discord_stage
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, code_in, telegram_bot
from tests.support import generated_images
from tests.support.generated_images import pictures, pixels_of, use, with_

#: By the name of the base model: a module of its LoRA files.
MODULES = {
    "tiny-klein": "diffusion_model.double_blocks.0.img_attn.qkv",
    "tiny-zimage": "diffusion_model.layers.0.attention.to_q",
}
FAMILIES = [
    pytest.param("tiny-klein"),
    pytest.param("tiny-zimage", marks=pytest.mark.soak),  # one is enough for `make test`
]
PROMPT = "with a (red:1.3) hat"


def make_backend(base_model: str) -> ProcessBackend:
    command = [sys.executable, "-m", "gpu_worker", "--base-model", base_model, "--train-steps", "1"]
    return ProcessBackend(command)


def load_model(name: str, has_twin: bool) -> BaseModel:
    """Return an embedded model with its twin, or without: then it draws with what it trains."""
    is_klein = name == "tiny-klein"
    family, module = (TINY_KLEIN, tiny_klein) if is_klein else (TINY_Z_IMAGE, tiny_z_image)
    parts = module.build_components()
    parts = parts if has_twin else replace(parts, distilled_transformer=None)
    device_config = select_device(True, None, family.memory)
    return (KleinModel if is_klein else ZImageModel)(name, family, parts, device_config, SMALL.max_tokens)


def assert_drawn_with_the_twin(base_model: str, picture: bytes, lora: bytes) -> None:
    """Check a picture against those that the LoRA gives with the twin, and with the trained base."""
    recipe = generated_images.text_of(picture)
    prompt = re.sub(r" <lora:[^>]*>", "", recipe.partition("\n")[0])
    seed = re.search(r"Seed: (\d+)", recipe)
    assert seed is not None
    request = with_(prompt=prompt, seed=int(seed[1]), steps=1, width_px=64, height_px=64, loras=(use(lora),))
    theirs = pixels_of(picture)
    twin_s, base_s = (
        pixels_of(pictures(load_model(base_model, has_twin), request)[0]) for has_twin in (True, False)
    )
    assert np.abs(theirs - twin_s).max() <= 2
    assert np.abs(theirs - base_s).max() > 10


def assert_file(base_model: str, file: bytes) -> None:
    tensors = load(file)
    assert all(name.startswith("diffusion_model.") for name in tensors)
    assert tensors[f"{MODULES[base_model]}.lora_B.weight"].abs().max() > 0


async def draws(anna: Person, code: LoraCode) -> bytes:
    await anna.says(f"/generate {code} {PROMPT} --steps 1 --size 64x64")
    results = await until(lambda: [each for each in anna.sees if "Again" in dict(each.buttons)])
    assert "reads no weights" in results[0].text
    return results[0].photos[0]


@pytest.mark.parametrize("base_model", FAMILIES)
@pytest.mark.covers("telegram", "album", "photo", "/generate", "/export")
async def test_a_code_is_trained_on_the_base_and_drawn_with_its_twin_on_telegram(
    tmp_path: Path, base_model: str
) -> None:
    async with telegram_server() as server, telegram_bot(server, tmp_path, make_backend(base_model)):
        anna = Person(server, 7)
        await anna.sends_photos(PHOTOS[:5])
        code = code_in(await anna.hears("is ready,"))
        picture = await draws(anna, code)
        await anna.says(f"/generate {code} in a garden --no fog")
        await anna.hears("draws without guidance")
        await anna.says(f"/generate {code} in a garden --sampler unipc")
        await anna.hears("draws with Euler only")
        await anna.says(f"/export {code}")
        await anna.hears("ComfyUI: put it in models/loras")
        (export,) = await until(lambda: [each for each in anna.sees if each.files])
        file = export.files[0][1]
        assert_file(base_model, file)
        assert_drawn_with_the_twin(base_model, picture, file)


@pytest.mark.soak
@pytest.mark.parametrize("base_model", MODULES)
@pytest.mark.covers("discord", "/train", "form", "/generate", "/export")
async def test_a_code_is_trained_on_the_base_and_drawn_with_its_twin_on_discord(
    tmp_path: Path, base_model: str
) -> None:
    worker = make_backend(base_model)
    await worker.start()
    try:
        async with discord_stage.on_stage(tmp_path, worker=worker) as stage:
            code = await stage.trains()
            assert format_code(code) in stage.dms()[-1].content
            result = await stage.drawn(code, prompt=PROMPT, steps=1, size="64x64")
            assert "reads no weights" in result.content
            answer = await stage.anna.slash(stage.channel, "export", code=code)
            assert answer.response is not None
            assert "ComfyUI: put it in models/loras" in answer.response.content
            file = await answer.response.attachments[0].read()
            assert_file(base_model, file)
            assert_drawn_with_the_twin(base_model, await result.attachments[0].read(), file)
    finally:
        await worker.close()
