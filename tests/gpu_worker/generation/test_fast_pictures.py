"""Fast pictures: few steps on the timesteps that a model family has for them."""

from __future__ import annotations

import copy
import itertools

import msgspec
import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from diffusers.schedulers.scheduling_utils import AysSchedules

from gpu_worker.errors import BadInput
from gpu_worker.generation import recipes
from gpu_worker.generation.denoiser import denoise_step
from gpu_worker.generation.generate import create_image
from gpu_worker.generation.prompts import encode_recipe_prompts
from gpu_worker.models.base import BaseModel
from gpu_worker.models.noise import samplers
from gpu_worker.models.noise.diffusion import DiffusionScheduler
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.family import DRAWN, SD15
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.protocol import SAMPLERS, GenerateRequest
from tests.support.generated_images import pictures, pixels_of, text_of, with_


def test_fast_timesteps_of_sd15_are_those_of_align_your_steps() -> None:
    assert list(SD15.sampling.fast_timesteps) == AysSchedules["StableDiffusionTimesteps"]
    assert list(SDXL.sampling.fast_timesteps) == AysSchedules["StableDiffusionXLTimesteps"]
    assert SD15.sampling.fast_steps == len(SD15.sampling.fast_timesteps)


@pytest.mark.parametrize("steps", [1, 2, 4, 9, 10, 19, recipes.STEPS.stop - 1])
def test_timesteps_for_any_number_of_steps_fall_from_the_first_to_the_last(steps: int) -> None:
    fitted = SD15.sampling.fast_timesteps
    timesteps = samplers.interpolate_timesteps(fitted, steps)
    assert len(timesteps) == steps
    assert timesteps[0] == fitted[0]
    assert timesteps[-1] == fitted[-1] or steps == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(timesteps))


def test_timesteps_between_two_fitted_ones_lie_in_their_middle() -> None:
    assert samplers.interpolate_timesteps((999, 850, 736), 3) == [999, 850, 736]
    assert samplers.interpolate_timesteps((999, 851, 737), 5) == [999, 925, 851, 794, 737]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers' sampler
def test_a_fast_picture_is_that_of_diffusers_on_the_same_timesteps(tiny: BaseModel) -> None:
    timesteps = AysSchedules["StableDiffusionTimesteps"]
    ours = pixels_of(pictures(tiny, with_(is_fast=True, steps=10, guidance_scale=4.0))[0])
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(tiny.components["vae"]),
        unet=copy.deepcopy(tiny.components["unet"]),
        text_encoder=copy.deepcopy(tiny.components["text_encoder"]),
        tokenizer=tiny.tokenizer,
        scheduler=DPMSolverMultistepScheduler.from_config(tiny.noise_process.scheduler_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "sks person, on the moon", negative_prompt="", timesteps=timesteps, guidance_scale=4.0,
        height=ours.shape[0], width=ours.shape[1], generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 1


def test_the_recipe_of_a_fast_picture_has_its_steps_and_its_schedule(tiny: BaseModel) -> None:
    text = text_of(pictures(tiny, with_(is_fast=True, steps=None))[0])
    assert (
        f"Steps: {tiny.family.sampling.fast_steps}, Sampler: DPM++ 2M, Schedule type: Align Your Steps"
        in text
    )


def test_a_picture_that_is_not_fast_is_drawn_as_ever(tiny: BaseModel) -> None:
    text = text_of(pictures(tiny, with_(steps=None))[0])
    assert f"Steps: {tiny.family.sampling.steps}, Sampler: DPM++ 2M, Schedule type: Karras" in text


@pytest.mark.parametrize("sampler", SAMPLERS[1:])
def test_other_samplers_keep_their_own_schedule_in_fast_pictures(tiny: BaseModel, sampler: str) -> None:
    [recipe] = recipes.resolve_recipes(tiny, with_(is_fast=True, steps=None, sampler=sampler))
    assert (recipe.steps, recipe.sampler) == (
        tiny.family.sampling.fast_steps,
        samplers.DISPLAY_NAMES[sampler],
    )


def test_a_family_without_fitted_timesteps_draws_fast_on_karras_sigmas() -> None:
    assert DRAWN.sampling.fast_timesteps == ()
    assert samplers.choose_display_name("", is_fast=True, has_fast_timesteps=False) == "DPM++ 2M Karras"


def test_the_name_of_the_fast_form_is_no_sampler_to_choose(tiny: BaseModel) -> None:
    with pytest.raises(BadInput):
        recipes.resolve_recipes(tiny, with_(sampler=samplers.FAST_NAME))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers' sampler
def test_a_fast_picture_comes_nearer_to_one_of_many_steps_than_uniform_steps_do() -> None:
    drawn_base = load_base_model("drawn")
    reference = denoise(drawn_base, with_(seed=2, steps=25))
    fast = denoise(drawn_base, with_(seed=2, is_fast=True, steps=None))
    steps = drawn_base.family.sampling.fast_steps
    uniform_sampler = DPMSolverMultistepScheduler.from_config(
        drawn_base.noise_process.scheduler_config, timestep_spacing="linspace"
    )
    uniform_sampler.set_timesteps(steps)
    scheduler = DiffusionScheduler(drawn_base.noise_process, uniform_sampler)
    uniform = denoise(drawn_base, with_(seed=2, steps=steps), scheduler)
    fast_rms, uniform_rms = ((each - reference).square().mean().sqrt() for each in (fast, uniform))
    assert fast_rms < 0.6 * uniform_rms


def denoise(
    base: BaseModel, request: GenerateRequest, scheduler: DiffusionScheduler | None = None
) -> torch.Tensor:
    """Return the latents of a picture in the base model's own size."""
    request = msgspec.structs.replace(request, prompt="a person in the snow", width_px=None, height_px=None)
    [recipe] = recipes.resolve_recipes(base, request)
    image = create_image(base, recipe, None, encode_recipe_prompts(base, recipe, None))
    image.scheduler = scheduler or image.scheduler
    while not image.is_done:
        denoise_step(base, [image])
    return image.latents
