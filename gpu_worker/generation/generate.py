"""Generate pictures, with one denoising step per yield.

Every picture depends on its own recipe alone, so the third of four can be drawn again by itself. No torch
context stays open across a yield, and each step activates its own adapter first, because a training may take
a step in between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.device import memory_modes, placement
from gpu_worker.device.memory_modes import ComputeError, NotFinite, OutOfMemory
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.generation import image_file, regions
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.denoiser import DenoisingImage
from gpu_worker.generation.image_file import Recipe
from gpu_worker.generation.picture_files import PictureFiles
from gpu_worker.generation.recipes import attach_loras, list_lora_uses, render_size_px, resolve_recipes
from gpu_worker.lora import layers
from gpu_worker.lora.layers import AnyAdapter
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.pixels import to_pixels
from gpu_worker.protocol import (
    Crop,
    DoneEvent,
    GenerateRequest,
    PreviewEvent,
    ProgressEvent,
    StartedEvent,
    WorkerEvent,
)

#: Two noises with a smaller sine of their angle lie on one line. Those of two seeds are near a right angle.
_MIN_SINE = 1e-3
#: The first preview follows this step: after one, nothing can be made out yet.
FIRST_PREVIEW_STEP = 2


def generate(context: GenerationContext, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
    """Generate the pictures of a request and yield its events.

    These are StartedEvent, ProgressEvent per denoising step, PreviewEvent as asked for, and DoneEvent. After
    OOM the pictures are started again with rows one by one, after NaN in full precision; the base model stays
    as it is for all others. Raises BadInput if something cannot be drawn.
    """
    started_at = time.monotonic()
    recipes = resolve_recipes(context.base, request, context.acceleration)
    is_full_precision = False
    context.denoiser.retry_batches()
    while True:
        try:
            attempt = _GenerationAttempt(context, request, recipes, is_full_precision)
            drawn = yield from attempt.run()
            break
        except Exception as error:
            compute_error = memory_modes.as_compute_error(error)
            if compute_error is None:
                raise
            _prepare_retry(context, compute_error, is_full_precision)
            is_full_precision = isinstance(compute_error, NotFinite)
            del compute_error  # it may have a traceback too
        # Not in the handler above: there the exception would keep the failed pass's tensors alive.
        placement.empty_cache()
    embed = context.identity_encoder.embed
    yield DoneEvent(
        job_id=request.job_id,
        attempt=request.attempt,
        pictures=drawn.pictures,
        recipes=tuple(recipe.format_parameters() for recipe in drawn.recipes),
        elapsed_s=time.monotonic() - started_at,
        picture_embeddings=embed(drawn.pictures, drawn.crops) if request.reference_pictures else (),
        reference_embeddings=embed(request.reference_pictures),
        regions=drawn.crops,
    )


@dataclass(frozen=True)
class _DrawnPictures:
    pictures: tuple[bytes, ...]
    recipes: tuple[Recipe, ...]
    crops: tuple[tuple[Crop, ...], ...]  #: of each picture, each person's; () without regions


class _GenerationAttempt:
    """One attempt at the pictures of a request, in the base model's precision or in full precision."""

    def __init__(
        self,
        context: GenerationContext,
        request: GenerateRequest,
        recipes: Sequence[Recipe],
        is_full_precision: bool,
    ) -> None:
        self._context, self._request, self._recipes = context, request, recipes
        self._is_full_precision = is_full_precision
        self._last_preview_at: float | None = None

    def run(self) -> Generator[WorkerEvent, None, _DrawnPictures]:
        context, request = self._context, self._request
        recipes = attach_loras(context.base, context.adapter_cache, request, self._recipes)
        images: list[DenoisingImage] = []
        files = context.open_picture_files()
        try:
            img2img_init = _encode_init_image(context.base, request, recipes[0])
            with context.base.use_precision(self._is_full_precision):
                encoded = [context.encode(loras, recipes[0]) for loras in list_lora_uses(request)]
                images = [
                    create_image(context.base, recipe, *encoded[index % len(encoded)], img2img_init)
                    for index, recipe in enumerate(recipes)
                ]
            for image in images:
                image.is_full_precision = self._is_full_precision
            yield self._started(images)
            context.denoiser.add(images)
            yield from self._denoise(images, recipes, files)
            crops = tuple(regions.list_regions(image.conditioning) for image in images)
            return _DrawnPictures(files.collect(), tuple(recipes), crops if any(crops) else ())
        finally:
            files.close()
            context.denoiser.remove(images)
            layers.deactivate_all(context.base)

    def _denoise(
        self, images: Sequence[DenoisingImage], recipes: Sequence[Recipe], files: PictureFiles
    ) -> Generator[WorkerEvent, None, None]:
        """Denoise the pictures, and make a file of each that is done.

        Between any two steps or decodings a training may take a step.
        """
        total_steps, reported_steps = sum(image.total_steps for image in images), 0
        while len(files) < len(images):
            steps_done = sum(image.steps_done for image in images)
            done = [index for index, image in enumerate(images) if image.is_done and index not in files]
            if steps_done > reported_steps:  # also if another request denoised these pictures too
                reported_steps = steps_done
                yield self._report_progress(reported_steps, total_steps)
                yield from self._emit_preview(images)
            elif done:
                files.add(done[0], images[done[0]].latents, recipes[done[0]])
                if len(files) < len(images):
                    yield self._report_progress(reported_steps, total_steps)
            else:
                self._context.denoiser.step(next(image for image in images if not image.is_done))

    def _started(self, images: Sequence[DenoisingImage]) -> StartedEvent:
        steps = sum(image.total_steps for image in images)
        return StartedEvent(job_id=self._request.job_id, attempt=self._request.attempt, step=0, steps=steps)

    def _report_progress(self, step: int, steps: int) -> ProgressEvent:
        request = self._request
        return ProgressEvent(job_id=request.job_id, attempt=request.attempt, step=step, steps=steps)

    def _emit_preview(self, images: Sequence[DenoisingImage]) -> Generator[WorkerEvent, None, None]:
        current_image = next((image for image in images if not image.is_done), images[-1])
        if self._is_preview_due(current_image) and current_image.pred_original_sample is not None:
            self._last_preview_at = time.monotonic()
            yield PreviewEvent(
                job_id=self._request.job_id,
                attempt=self._request.attempt,
                png=self._context.render_preview(current_image.pred_original_sample),
            )

    def _is_preview_due(self, image: DenoisingImage) -> bool:
        interval_s = self._request.preview_interval_s
        if interval_s is None:
            return False
        if self._last_preview_at is None:
            return image.steps_done >= min(FIRST_PREVIEW_STEP, image.total_steps)
        return time.monotonic() - self._last_preview_at >= interval_s


def _prepare_retry(context: GenerationContext, compute_error: ComputeError, was_full_precision: bool) -> None:
    """Prepare another attempt after OOM or NaN; BadInput if there is no other."""
    is_out_of_memory = isinstance(compute_error, OutOfMemory)
    # In full precision, rows go one by one already.
    if was_full_precision or (not is_out_of_memory and context.base.dtype is torch.float32):
        raise BadInput(JobProblem.IMAGE_NOT_FINITE) from compute_error
    if is_out_of_memory:
        if context.denoiser.is_sequential:
            raise BadInput(JobProblem.IMAGE_TOO_LARGE) from compute_error
        context.denoiser.draw_row_by_row()
        context.free_adapters()


def _encode_init_image(
    base: BaseModel, request: GenerateRequest, recipe: Recipe
) -> tuple[Tensor, float] | None:
    """Return the latents of the initial image, (1, 4, h, w), and the denoising strength; None without one."""
    if request.init_image is None:
        return None
    pixels = to_pixels(request.init_image.data, render_size_px(base, recipe))
    return base.encode_image_tiled(pixels)[None], request.init_image.denoising_strength


def create_image(
    base: BaseModel,
    recipe: Recipe,
    adapter: AnyAdapter | None,
    conditioning: Conditioning,
    img2img_init: tuple[Tensor, float] | None = None,
) -> DenoisingImage:
    """Return the state of one picture before its first denoising step."""
    latent_shape = (1, *base.latent_shape(render_size_px(base, recipe)))
    # Drawn on the CPU, so that a seed gives the same picture on every device.
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(latent_shape, generator=generator)
    if recipe.variation_strength:
        variation_noise = torch.randn(
            latent_shape, generator=torch.Generator().manual_seed(recipe.variation_seed)
        )
        noise = _slerp(noise, variation_noise, recipe.variation_strength)
    scheduler, latents = base.noise_process.start(
        recipe.sampler, recipe.steps, noise, base.device, img2img_init
    )
    image = DenoisingImage(
        conditioning=conditioning,
        guidance_scale=recipe.guidance_scale,
        adapter=adapter,
        scheduler=scheduler,
        latents=latents,
        generator=generator,
    )
    image.region_search = regions.start_search(conditioning, image.total_steps)
    return image


def _slerp(noise: Tensor, other_noise: Tensor, weight: float) -> Tensor:
    """Interpolate between two noises on the sphere that they lie on; `weight` is the share of the other."""
    cosine = float((noise * other_noise).sum() / (noise.norm() * other_noise.norm()))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < _MIN_SINE:  # one noise twice, as with one seed twice: there is no arc to go along
        return (1 - weight) * noise + weight * other_noise
    return (math.sin((1 - weight) * angle) * noise + math.sin(weight * angle) * other_noise) / math.sin(angle)


def decode_to_png(base: BaseModel, latents: Tensor, recipe: Recipe) -> bytes:
    """Return the PNG file of finished latents, enlarged as its model family asks for; raises NotFinite."""
    pixels = base.decode(latents)
    return image_file.encode_png(pixels, recipe, base.family.sampling.upscale_factor)
