"""Drawing pictures: one denoising step per yield.

Every picture is a function of its own seed and wish, so the third of four can be drawn again by itself. No
torch context stays open across a yield, and each step puts its own adapter on first, because a training may
take a step in between.
"""

from __future__ import annotations

import io
import math
import secrets
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import NotFinite, OutOfMemory
from gpu_worker.errors import BadInput
from gpu_worker.generation import config as generation_config
from gpu_worker.generation import denoiser, image_file, prompts, samplers
from gpu_worker.generation.denoiser import BatchedDenoiser, BatchSizeTuner, DenoisingImage
from gpu_worker.generation.identity import IdentityEncoder
from gpu_worker.generation.image_file import Recipe, RecipeLora
from gpu_worker.generation.preview import LatentPreviewer
from gpu_worker.lora import layers
from gpu_worker.lora.cache import AdapterCache
from gpu_worker.lora.layers import Adapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.pixels import to_pixels
from gpu_worker.protocol import (
    SHAPES,
    DoneEvent,
    GenerateRequest,
    PreviewEvent,
    ProgressEvent,
    StartedEvent,
    WorkerEvent,
)

SIDES_PX = range(64, 2048 + 1, 8)
STEPS = range(1, 150 + 1)
COUNTS = range(1, 16 + 1)
SEEDS = range(2**63 - COUNTS.stop)
STRENGTHS = (-2.0, 2.0)
MAX_LORAS = 4
#: A drawn seed has at most ten digits, so that people can type it.
_RANDOM_SEEDS = 2**32
_MAX_GUIDANCE = 50.0
_TOO_LARGE_MESSAGE = "This is too large for the graphics card here; ask for a smaller size or fewer pictures."
_NOT_FINITE_MESSAGE = "The picture went out of bounds (numbers too large); try less strength or guidance."


class GenerationContext:
    """What drawing keeps between requests on one base model."""

    def __init__(self, base: BaseModel, tuner: BatchSizeTuner | None = None) -> None:
        self.base = base
        self.adapter_cache = AdapterCache()
        self.identity_encoder = IdentityEncoder(base)
        self.denoiser = BatchedDenoiser(base, tuner)
        self._previewer: LatentPreviewer | None = None

    def render_preview(self, latents: Tensor) -> bytes:
        """Return a small picture of latents as PNG."""
        if self._previewer is None:
            self._previewer = LatentPreviewer(self.base)
        return self._previewer.render_png(latents)


def generate(context: GenerationContext, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
    """Draw the pictures of a request: Started, Progress per denoising step, Done with PNGs and recipes.

    When memory is short, or half precision is not precise enough, the card is used more modestly and the
    pictures are begun again. Raises BadInput when something cannot be drawn.
    """
    started_at = time.monotonic()
    recipes = resolve_recipes(context.base, request)
    while True:
        dtype = context.base.dtype
        try:
            pictures = yield from _GenerationAttempt(context, request, recipes).run()
        except Exception as error:
            if not _fall_back(context, error, dtype):
                raise
        else:
            break
    recipe_texts = tuple(recipe.format_parameters() for recipe in _attach_loras(context, request, recipes))
    job_fields: Any = {"job_id": request.job_id, "attempt": request.attempt}
    yield DoneEvent(
        **job_fields,
        pictures=pictures,
        recipes=recipe_texts,
        elapsed_s=time.monotonic() - started_at,
        picture_embeddings=context.identity_encoder.embed(pictures) if request.reference_pictures else (),
        reference_embeddings=context.identity_encoder.embed(request.reference_pictures),
    )


class _GenerationAttempt:
    """One try at a request's pictures."""

    def __init__(
        self, context: GenerationContext, request: GenerateRequest, recipes: Sequence[Recipe]
    ) -> None:
        self._context, self._request, self._recipes = context, request, recipes
        self._job_fields: Any = {"job_id": request.job_id, "attempt": request.attempt}
        self._last_preview_at = time.monotonic()

    def run(self) -> Generator[WorkerEvent, None, tuple[bytes, ...]]:
        context, request = self._context, self._request
        adapter, _ = context.adapter_cache.get(context.base, request.loras)
        recipes = _attach_loras(context, request, self._recipes)
        images: list[DenoisingImage] = []
        try:
            img2img_init = _encode_init_image(context.base, request, recipes[0])
            images = _create_images(context.base, recipes, adapter, img2img_init)
            total_steps = sum(image.total_steps for image in images)
            yield StartedEvent(**self._job_fields, step=0, steps=total_steps)
            context.denoiser.add(images)
            yield from self._denoise(images, total_steps)
            pictures: list[bytes] = []
            for image, recipe in zip(images, recipes, strict=True):
                if pictures:
                    yield ProgressEvent(
                        **self._job_fields, step=total_steps, steps=total_steps
                    )  # a training may go on in between
                pictures.append(decode_to_png(context.base, image.latents, recipe))
            return tuple(pictures)
        finally:
            context.denoiser.remove(images)
            layers.deactivate_all(context.base)

    def _denoise(
        self, images: Sequence[DenoisingImage], total_steps: int
    ) -> Generator[WorkerEvent, None, None]:
        reported_steps = 0
        while reported_steps < total_steps:
            steps_done = sum(image.steps_done for image in images)
            if steps_done > reported_steps:  # also when another request took the step along
                reported_steps = steps_done
                yield ProgressEvent(**self._job_fields, step=reported_steps, steps=total_steps)
                yield from self._emit_preview(images)
            else:
                self._context.denoiser.step(next(image for image in images if not image.is_done))

    def _emit_preview(self, images: Sequence[DenoisingImage]) -> Generator[WorkerEvent, None, None]:
        interval_s, now = self._request.preview_interval_s, time.monotonic()
        if interval_s is None or now - self._last_preview_at < interval_s:
            return
        self._last_preview_at = now
        current_image = next((image for image in images if not image.is_done), images[-1])
        if current_image.pred_original_sample is not None:
            yield PreviewEvent(
                **self._job_fields, png=self._context.render_preview(current_image.pred_original_sample)
            )


def _fall_back(context: GenerationContext, error: Exception, dtype: torch.dtype) -> bool:
    """Use the card more modestly after trouble; False when it was none, BadInput when nothing is left.

    `dtype` is the precision that the picture was begun in.
    """
    compute_error = memory_modes.as_compute_error(error)
    if compute_error is None:
        return False
    if isinstance(compute_error, OutOfMemory):
        if context.denoiser.is_sequential:
            raise BadInput(_TOO_LARGE_MESSAGE) from error
        context.denoiser.is_sequential = True
        context.adapter_cache.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True
    if context.base.dtype is not dtype:  # others met the same, and the picture was not yet tried in this one
        return True
    memory_mode = memory_modes.fall_back(
        context.base.memory_mode, compute_error, context.base.device_config.fallback_dtype
    )
    if memory_mode is None:
        raise BadInput(_NOT_FINITE_MESSAGE) from error
    try:
        context.base.set_memory_mode(memory_mode)
    except torch.OutOfMemoryError as oom_error:
        raise BadInput(_NOT_FINITE_MESSAGE) from oom_error
    return True


def _attach_loras(
    context: GenerationContext, request: GenerateRequest, recipes: Sequence[Recipe]
) -> list[Recipe]:
    _, hashes = context.adapter_cache.get(context.base, request.loras)
    recipe_loras = tuple(
        RecipeLora(lora.name, short_hash, lora.strength)
        for lora, short_hash in zip(request.loras, hashes, strict=True)
    )
    return [replace(recipe, loras=recipe_loras) for recipe in recipes]


def _encode_init_image(
    base: BaseModel, request: GenerateRequest, recipe: Recipe
) -> tuple[Tensor, float] | None:
    """Return the latents of the picture to begin from, and how much of it is drawn again."""
    if request.init_image is None:
        return None
    size_px = render_size_px(base, recipe)
    return base.encode_image_tiled(to_pixels(request.init_image.data, size_px))[
        None
    ], request.init_image.denoising_strength


def _create_images(
    base: BaseModel,
    recipes: Sequence[Recipe],
    adapter: Adapter | None,
    img2img_init: tuple[Tensor, float] | None,
) -> list[DenoisingImage]:
    prompt_embeds = encode_recipe_prompts(base, recipes[0], adapter)
    return [create_image(base, recipe, adapter, prompt_embeds, img2img_init) for recipe in recipes]


def encode_recipe_prompts(base: BaseModel, recipe: Recipe, adapter: Adapter | None) -> Tensor:
    """Take in the prompt; with guidance also what to keep away from, which comes first."""
    if adapter is None:
        layers.deactivate_all(base)
    else:
        adapter.activate()
    return prompts.encode_weighted_prompts(
        base, [recipe.negative_prompt, recipe.prompt] if recipe.guidance_scale > 1.0 else [recipe.prompt]
    )


def create_image(
    base: BaseModel,
    recipe: Recipe,
    adapter: Adapter | None,
    prompt_embeds: Tensor,
    img2img_init: tuple[Tensor, float] | None = None,
) -> DenoisingImage:
    """Set up one picture."""
    width_px, height_px = render_size_px(base, recipe)
    latent_shape = (1, 4, height_px // base.vae_scale_factor, width_px // base.vae_scale_factor)
    # Drawn on the CPU, so that a seed means the same picture on every card.
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(latent_shape, generator=generator)
    if recipe.variation_strength:
        variation_noise = torch.randn(
            latent_shape, generator=torch.Generator().manual_seed(recipe.variation_seed)
        )
        noise = _slerp(noise, variation_noise, recipe.variation_strength)
    sampler_name = recipe.sampler.lower()
    fields = {
        "prompt_embeds": prompt_embeds,
        "guidance_scale": recipe.guidance_scale,
        "adapter": adapter,
        "generator": generator,
    }
    return denoiser.create_denoising_image(base, sampler_name, recipe.steps, noise, img2img_init, **fields)


def _slerp(noise: Tensor, other_noise: Tensor, weight: float) -> Tensor:
    """Go a share of the way from one noise to another on the sphere that they lie on (slerp)."""
    cosine = float((noise * other_noise).sum() / (noise.norm() * other_noise.norm()))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return (math.sin((1 - weight) * angle) * noise + math.sin(weight * angle) * other_noise) / math.sin(angle)


def decode_to_png(base: BaseModel, latents: Tensor, recipe: Recipe) -> bytes:
    """Return a finished picture's file, as large as this kind of base model hands pictures out.

    Raises NotFinite when the numbers went out of bounds on the way.
    """
    pixels = base.decode(latents)
    if not bool(pixels.isfinite().all()):
        raise NotFinite(_NOT_FINITE_MESSAGE)
    return image_file.encode_png(
        pixels, recipe, generation_config.default_sampling_config(base.family).upscale_factor
    )


def render_size_px(base: BaseModel, recipe: Recipe) -> tuple[int, int]:
    """Return width and height as they are drawn, before the picture is enlarged to what was asked for."""
    upscale_factor = generation_config.default_sampling_config(base.family).upscale_factor
    return recipe.width_px // upscale_factor, recipe.height_px // upscale_factor


def resolve_recipes(base: BaseModel, request: GenerateRequest) -> list[Recipe]:
    """Fill in what the person left open, for each picture; BadInput when something cannot be drawn."""
    _validate(request)
    defaults = generation_config.default_sampling_config(base.family)
    width_px, height_px = _resolve_size_px(base, request)
    first_recipe = Recipe(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        seed=secrets.randbelow(_RANDOM_SEEDS) if request.seed is None else request.seed,
        width_px=width_px,
        height_px=height_px,
        steps=defaults.steps if request.steps is None else request.steps,
        guidance_scale=defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        sampler=samplers.DISPLAY_NAMES[samplers.normalize_name(request.sampler)],
        model=base.name,
        variation_strength=request.variation_strength,
        variation_seed=request.variation_seed,
        denoising_strength=None if request.init_image is None else request.init_image.denoising_strength,
    )
    if request.variation_strength:  # one seed, each with other noise mixed in
        return [
            replace(first_recipe, variation_seed=first_recipe.variation_seed + index)
            for index in range(request.count)
        ]
    return [replace(first_recipe, seed=first_recipe.seed + index) for index in range(request.count)]


def _resolve_size_px(base: BaseModel, request: GenerateRequest) -> tuple[int, int]:
    """Return the size of the file: what was asked for, in steps that this base model can draw."""
    upscale_factor = generation_config.default_sampling_config(base.family).upscale_factor
    if request.shape and request.shape not in SHAPES:
        raise BadInput(f"There is no shape {request.shape[:40]!r}; there are {', '.join(SHAPES)}.")
    shape = SHAPES[request.shape or "square"]
    default_sides_px = [round(base.native_px * upscale_factor * side) for side in shape]
    requested_sides_px = (request.width_px, request.height_px)
    target_sides_px = [
        default_px if requested_px is None else requested_px
        for default_px, requested_px in zip(default_sides_px, requested_sides_px, strict=True)
    ]
    step_px = 8 * upscale_factor
    width_px, height_px = (max(step_px, round(side / step_px) * step_px) for side in target_sides_px)
    return width_px, height_px


def _validate(request: GenerateRequest) -> None:
    side_range = f"{SIDES_PX.start} to {SIDES_PX.stop - 1}"
    for value, allowed, message in (
        (request.width_px, SIDES_PX, f"The width must be a multiple of 8 from {side_range} pixels."),
        (request.height_px, SIDES_PX, f"The height must be a multiple of 8 from {side_range} pixels."),
        (request.steps, STEPS, f"Steps must be {STEPS.start} to {STEPS.stop - 1}."),
        (request.count, COUNTS, f"The number of pictures must be {COUNTS.start} to {COUNTS.stop - 1}."),
        (request.seed, SEEDS, "The seed must be a whole number from 0 on."),
        (request.variation_seed, SEEDS, "The seed must be a whole number from 0 on."),
    ):
        if value is not None and value not in allowed:
            raise BadInput(message)
    denoising_strength = None if request.init_image is None else request.init_image.denoising_strength
    for number, low, high, label in (
        (request.guidance_scale, 0.0, _MAX_GUIDANCE, "Guidance"),
        (request.variation_strength, 0.0, 1.0, "The variation"),
        (denoising_strength, 0.0, 1.0, "How much is drawn again"),
        *((lora.strength, *STRENGTHS, "The strength") for lora in request.loras),
    ):
        if number is not None and not low <= number <= high:  # NaN is in no range
            raise BadInput(f"{label} must be {low:g} to {high:g}.")
    if len(request.loras) > MAX_LORAS:
        raise BadInput(f"At most {MAX_LORAS} LoraCodes fit into one picture.")
    if request.init_image is not None:
        _validate_init_image(request.init_image.data)


def _validate_init_image(data: bytes) -> None:
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("The picture to begin from is damaged.") from error
