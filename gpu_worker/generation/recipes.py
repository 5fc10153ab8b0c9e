"""From a request to the recipe of each picture: defaults filled in, and limits checked."""

from __future__ import annotations

import io
import secrets
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from PIL import Image

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.generation import regions
from gpu_worker.generation.image_file import Recipe, RecipeLora
from gpu_worker.lora.acceleration import Acceleration
from gpu_worker.lora.cache import AdapterCache
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.models.sources.acceleration_recipes import SamplingRecipe
from gpu_worker.models.text.clip.prompts import has_weights
from gpu_worker.protocol import SAMPLERS, GenerateRequest, LoraUse

SIDES_PX = range(64, 2048 + 1, 8)
STEPS = range(1, 150 + 1)
COUNTS = range(1, 16 + 1)
SEEDS = range(2**63 - COUNTS.stop)
STRENGTHS = (-2.0, 2.0)
MAX_LORAS = 4
#: A random seed has at most ten digits, so that people can type it.
_RANDOM_SEEDS = 2**32
_MAX_GUIDANCE = 50.0


def resolve_recipes(
    base: BaseModel, request: GenerateRequest, acceleration: Acceleration | None = None
) -> list[Recipe]:
    """Return the recipe of each picture, with defaults filled in; BadInput if it cannot be drawn.

    `acceleration` is for fast pictures whose sampler is open: those take its sampler, steps and guidance.
    """
    _validate(request)
    has_guidance = base.family.sampling.has_guidance
    if not has_guidance and (request.negative_prompt or (request.guidance_scale or 1.0) != 1.0):
        raise BadInput(JobProblem.NO_GUIDANCE, model=base.family.title)
    negative_prompts = (request.negative_prompt, request.style_negative_prompt if has_guidance else "")
    width_px, height_px = _resolve_size_px(base, request)
    prompts = (request.prompt, *negative_prompts)
    is_accelerated = request.is_fast and request.sampler.lower() in ("", SAMPLERS[0])
    acceleration = acceleration if is_accelerated else None
    defaults = _choose_defaults(base, request, acceleration)
    first_recipe = Recipe(
        prompt=request.prompt,
        negative_prompt=", ".join(filter(None, negative_prompts)),
        seed=secrets.randbelow(_RANDOM_SEEDS) if request.seed is None else request.seed,
        width_px=width_px,
        height_px=height_px,
        steps=defaults.steps if request.steps is None else request.steps,
        guidance_scale=defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        sampler=defaults.sampler,
        model=base.name,
        variation_strength=request.variation_strength,
        variation_seed=request.variation_seed,
        denoising_strength=None if request.init_image is None else request.init_image.denoising_strength,
        acceleration=RecipeLora(acceleration.name, acceleration.short_hash) if acceleration else None,
        ignores_weights=not base.family.reads_weights and any(map(has_weights, prompts)),
    )
    if request.strengths:
        return [first_recipe] * len(request.strengths)
    if request.variation_strength:  # the same seed for all, each with other noise mixed in
        return [
            replace(first_recipe, variation_seed=first_recipe.variation_seed + index)
            for index in range(request.count)
        ]
    return [replace(first_recipe, seed=first_recipe.seed + index) for index in range(request.count)]


def list_lora_uses(request: GenerateRequest) -> list[tuple[LoraUse, ...]]:
    """Return the LoRAs of each picture where they differ in strength, otherwise once for all."""
    if not request.strengths:
        return [request.loras]
    return [
        tuple(msgspec.structs.replace(lora, strength=strength) for lora in request.loras)
        for strength in request.strengths
    ]


def attach_loras(
    base: BaseModel, cache: AdapterCache, request: GenerateRequest, recipes: Sequence[Recipe]
) -> list[Recipe]:
    """Return the recipes with the LoRAs that each picture is drawn with."""
    recipe_loras = []
    for loras in list_lora_uses(request):
        _, hashes = cache.get(base, loras, regions.assign_people(loras))
        named = zip(loras, hashes, strict=True)
        recipe_loras.append(
            tuple(RecipeLora(lora.name, short_hash, lora.strength) for lora, short_hash in named)
        )
    return [
        replace(recipe, loras=recipe_loras[index % len(recipe_loras)]) for index, recipe in enumerate(recipes)
    ]


def _choose_defaults(
    base: BaseModel, request: GenerateRequest, acceleration: Acceleration | None
) -> SamplingRecipe:
    """Return the sampler by the name in the recipe, and what steps and guidance are where they are open."""
    if acceleration is not None:
        return acceleration.recipe
    sampling = base.family.sampling
    return SamplingRecipe(
        base.noise_process.choose_sampler(request.sampler, request.is_fast),
        sampling.fast_steps if request.is_fast else sampling.steps,
        sampling.guidance_scale,
    )


def render_size_px(base: BaseModel, recipe: Recipe) -> Size:
    """Return width and height that are denoised, before the picture is enlarged to the size of its file."""
    upscale_factor = base.family.sampling.upscale_factor
    return recipe.width_px // upscale_factor, recipe.height_px // upscale_factor


def _resolve_size_px(base: BaseModel, request: GenerateRequest) -> Size:
    """Return the size of the file: the requested one, rounded to what this base model can draw."""
    upscale_factor = base.family.sampling.upscale_factor
    shape = base.family.find_shape(request.shape or "square")
    if shape is None:
        known_shapes = ", ".join(base.family.shapes)
        raise BadInput(JobProblem.UNKNOWN_SHAPE, name=request.shape[:40], known=known_shapes)
    default_sides_px = [round(base.native_px * upscale_factor * side) for side in shape]
    requested_sides_px = (request.width_px, request.height_px)
    target_sides_px = [
        default_px if requested_px is None else requested_px
        for default_px, requested_px in zip(default_sides_px, requested_sides_px, strict=True)
    ]
    step_px = base.family.size_step_px * upscale_factor
    width_px, height_px = (max(step_px, round(side / step_px) * step_px) for side in target_sides_px)
    return width_px, height_px


def _validate(request: GenerateRequest) -> None:
    for value, allowed, problem in (
        (request.width_px, SIDES_PX, JobProblem.SIZE_OUT_OF_RANGE),
        (request.height_px, SIDES_PX, JobProblem.SIZE_OUT_OF_RANGE),
        (request.steps, STEPS, JobProblem.STEPS_OUT_OF_RANGE),
        (request.count, COUNTS, JobProblem.COUNT_OUT_OF_RANGE),
        (request.seed, SEEDS, JobProblem.SEED_OUT_OF_RANGE),
        (request.variation_seed, SEEDS, JobProblem.SEED_OUT_OF_RANGE),
    ):
        if value is not None and value not in allowed:
            raise BadInput(problem, low=str(allowed.start), high=str(allowed.stop - 1))
    denoising_strength = None if request.init_image is None else request.init_image.denoising_strength
    for number, low, high, problem in (
        (request.guidance_scale, 0.0, _MAX_GUIDANCE, JobProblem.GUIDANCE_OUT_OF_RANGE),
        (request.variation_strength, 0.0, 1.0, JobProblem.VARIATION_OUT_OF_RANGE),
        (denoising_strength, 0.0, 1.0, JobProblem.DENOISING_OUT_OF_RANGE),
        *(
            (strength, *STRENGTHS, JobProblem.STRENGTH_OUT_OF_RANGE)
            for strength in (*(lora.strength for lora in request.loras), *request.strengths)
        ),
    ):
        if number is not None and not low <= number <= high:  # NaN is in no range
            raise BadInput(problem, low=f"{low:g}", high=f"{high:g}")
    if len(request.loras) > MAX_LORAS:
        raise BadInput(JobProblem.TOO_MANY_LORAS, limit=str(MAX_LORAS))
    if request.init_image is not None:
        _validate_init_image(request.init_image.data)


def _validate_init_image(data: bytes) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(JobProblem.START_IMAGE_DAMAGED) from error
