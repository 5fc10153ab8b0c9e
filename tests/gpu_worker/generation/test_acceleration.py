"""Fast pictures with an acceleration LoRA: it brings its recipe, and is on beside a person's LoRA."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionPipeline
from safetensors.torch import load, load_file, save_file

from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.generate import generate
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.acceleration import Acceleration
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget
from gpu_worker.models.sources.acceleration import AccelerationError, AccelerationSource
from gpu_worker.models.sources.acceleration_recipes import SamplingRecipe
from gpu_worker.protocol import DoneEvent, GenerateRequest
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.previews import PreviewMaker
from tests.support.generated_images import lora_of, pictures, pixels_of, text_of, use, with_

RECIPES = {
    "ddim": (
        SamplingRecipe("DDIM Trailing", 3, 5.0),
        DDIMScheduler,
        {"timestep_spacing": "trailing", "clip_sample": False},
    ),
    "lcm": (SamplingRecipe("LCM", 2, 1.0), LCMScheduler, {}),
}
FAST = with_(is_fast=True, steps=None)


def kohya_names(target: LoraTarget) -> tuple[str, str]:
    return f"{target.kohya_name}.lora_down.weight", f"{target.kohya_name}.lora_up.weight"


def peft_names(target: LoraTarget) -> tuple[str, str]:
    return f"unet.{target.path}.lora_A.weight", f"unet.{target.path}.lora_B.weight"


def write_lora(
    base: BaseModel, path: Path, names: Callable[[LoraTarget], tuple[str, str]] = kohya_names
) -> Path:
    """Write a LoRA of the UNet that leaves a mark."""
    generator, tensors = torch.Generator().manual_seed(3), {}
    for target in base.list_targets("unet"):
        down, up = names(target)
        out_features, in_features, *kernel = target.weight_shape
        tensors[down] = torch.randn(2, in_features, *kernel, generator=generator) * 0.3
        tensors[up] = torch.randn(out_features, 2, *(1 for _ in kernel), generator=generator) * 0.3
    save_file(tensors, path)
    return path


def accelerated(base: BaseModel, path: Path, recipe: SamplingRecipe) -> GenerationContext:
    return GenerationContext(
        base, acceleration=Acceleration(base, AccelerationSource("fast-8", path, recipe, ""))
    )


def draw(context: GenerationContext, request: GenerateRequest) -> DoneEvent:
    last = list(generate(context, request))[-1]
    assert isinstance(last, DoneEvent)
    return last


@pytest.fixture(scope="module")
def lora(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> bytes:
    return lora_of(loaded_tiny, photos)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
@pytest.mark.filterwarnings("ignore:Already found a:UserWarning")  # two adapters are meant
@pytest.mark.parametrize(("kind", "names"), [("ddim", peft_names), ("lcm", kohya_names)])
def test_a_picture_with_two_loras_is_that_of_pefts_weighted_sum(
    tiny: BaseModel, lora: bytes, tmp_path: Path, kind: str, names: Callable[[LoraTarget], tuple[str, str]]
) -> None:
    recipe, scheduler, settings = RECIPES[kind]
    path = write_lora(tiny, tmp_path / "fast.safetensors", names)
    done = draw(accelerated(tiny, path, recipe), with_(**as_fast(loras=(use(lora, strength=0.8),))))
    ours = pixels_of(done.pictures[0])
    pipeline: Any = StableDiffusionPipeline(
        vae=copy.deepcopy(tiny.components["vae"]),
        unet=copy.deepcopy(tiny.components["unet"]),
        text_encoder=copy.deepcopy(tiny.components["text_encoder"]),
        tokenizer=tiny.tokenizer,
        scheduler=scheduler.from_config(tiny.noise_process.scheduler_config, **settings),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(load_file(path), adapter_name="fast")
    pipeline.load_lora_weights(load(lora), adapter_name="person")
    pipeline.set_adapters(["fast", "person"], [1.0, 0.8])
    theirs = pipeline(
        "sks person, on the moon", negative_prompt="", num_inference_steps=recipe.steps,
        guidance_scale=recipe.guidance_scale, height=64, width=64, generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2
    plain = pixels_of(pictures(tiny, with_(**as_fast(loras=(use(lora, strength=0.8),))))[0])
    assert np.abs(ours - plain).max() > 20


def as_fast(**changes: object) -> dict[str, object]:
    return {"is_fast": True, "steps": None, **changes}


@pytest.fixture
def context(tiny: BaseModel, tmp_path: Path) -> GenerationContext:
    return accelerated(tiny, write_lora(tiny, tmp_path / "fast.safetensors"), RECIPES["lcm"][0])


def test_the_recipe_of_an_accelerated_picture_names_the_lora_and_draws_it_again(
    context: GenerationContext, lora: bytes
) -> None:
    request = with_(**as_fast(loras=(use(lora),)))
    done = draw(context, request)
    text = text_of(done.pictures[0])
    assert text == done.recipes[0]
    assert "Steps: 2, Sampler: LCM, CFG scale: 1, Seed: 7" in text
    assert "Acceleration: fast-8, " in text
    assert f'fast-8: {context.acceleration.short_hash}"' in text  # type: ignore[union-attr]
    assert text.endswith("LoraCode: 04071338"), "it is no person"
    assert "<lora:fast-8" not in text
    assert draw(context, request).pictures == done.pictures


@pytest.mark.parametrize("changes", [{"is_fast": False}, {"is_fast": True, "sampler": "euler a"}])
def test_pictures_that_are_not_fast_or_have_a_sampler_are_drawn_without_it(
    context: GenerationContext, changes: dict[str, object]
) -> None:
    request = with_(**changes)
    done = draw(context, request)
    assert "Acceleration" not in done.recipes[0]
    assert done.pictures == pictures(context.base, request)


def test_what_a_person_says_stands_above_the_recipe_of_the_acceleration(context: GenerationContext) -> None:
    [recipe] = resolve_recipes(
        context.base, with_(is_fast=True, steps=5, guidance_scale=1.5), context.acceleration
    )
    assert (recipe.steps, recipe.guidance_scale, recipe.sampler) == (5, 1.5, "LCM")


def test_samples_of_a_training_are_drawn_without_it(context: GenerationContext) -> None:
    base = context.base
    done = draw(context, FAST)
    maker = PreviewMaker(base, (), TrainingConfig(), job_id=1, attempt=1)
    events = maker._draw(FAST, None, 1, is_sequential=False)  # the way of samples and of candidates
    with pytest.raises(StopIteration) as drawn:
        while True:
            next(events)
    assert drawn.value.value == pictures(base, FAST)[0] != done.pictures[0]


def test_pictures_of_one_batch_with_and_without_it_are_as_drawn_alone(
    context: GenerationContext, lora: bytes
) -> None:
    requests = [with_(**as_fast(loras=(use(lora),))), with_(is_fast=True, steps=None)]
    alone = [draw(context, request).pictures[0] for request in requests]
    running = [generate(context, request) for request in requests]
    done: dict[int, bytes] = {}
    while len(done) < len(running):
        for index, events in enumerate(running):
            if index not in done and isinstance(event := next(events), DoneEvent):
                done[index] = event.pictures[0]
                events.close()
    for index, picture in enumerate(alone):
        assert np.abs(pixels_of(picture) - pixels_of(done[index])).max() <= 2


def test_a_lora_that_does_not_fit_is_told_in_one_sentence(
    tiny: BaseModel, tiny_xl: BaseModel, tmp_path: Path
) -> None:
    path = write_lora(tiny_xl, tmp_path / "xl.safetensors")
    with pytest.raises(AccelerationError, match=r"^xl\.safetensors is not usable: This LoRA was made for"):
        Acceleration(tiny, AccelerationSource("xl", path, RECIPES["lcm"][0], ""))
