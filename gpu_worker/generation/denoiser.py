"""Denoise pictures step by step, several in one batch where that is faster.

Each picture has its own scheduler, prompt, guidance and LoRA, so pictures of one size can share a pass
through the UNet whatever step each is at. A picture that comes late joins at the next step. Whether a batch
is faster is measured on the steps themselves.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_worker.device import placement
from gpu_worker.generation.regions import RegionSearch
from gpu_worker.lora import layers
from gpu_worker.lora.layers import AnyAdapter, BatchedAdapters
from gpu_worker.memory.mode_retry import ModeRetry
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.noise.process import Scheduler

#: Most pictures in a batch. With guidance it has twice as many rows, which is what a 6 GB card can hold.
MAX_BATCH_SIZE = 4
#: How often a batch size is tried before its time counts; the first pass is always slow.
_TRIALS_PER_SIZE = 2
#: Minimum speed-up before batching is used: a batched picture is not bit-identical to one drawn alone.
_MIN_SPEEDUP = 1.05


@dataclass(eq=False)
class DenoisingImage:
    """The state of one picture between two denoising steps."""

    conditioning: Conditioning  #: one row; with guidance two, that of the negative prompt first
    guidance_scale: float
    adapter: AnyAdapter | None
    scheduler: Scheduler
    latents: Tensor  #: (1, channels, h, w), fp32
    generator: torch.Generator  #: for the noise that some samplers add in a step; on the CPU
    is_full_precision: bool = False  #: after NaN: fp32, whatever the base model has
    steps_done: int = 0
    pred_original_sample: Tensor | None = None  #: the last step's prediction of the final latents
    region_search: RegionSearch | None = None  #: while it is looked for where people are

    @property
    def total_steps(self) -> int:
        """Number of denoising steps."""
        return len(self.scheduler.timesteps)

    @property
    def is_done(self) -> bool:
        """Whether all denoising steps are done."""
        return self.steps_done >= self.total_steps

    @property
    def timestep(self) -> Tensor:
        """The timestep of the next denoising step, shape ()."""
        return self.scheduler.timesteps[self.steps_done]

    @property
    def batch_key(self) -> tuple[object, ...]:
        """What pictures must have in common to share a batch: precision, latents and conditioning."""
        return (*self.latents.shape[1:], self.conditioning.batch_key, self.is_full_precision)


@dataclass
class BatchSizeTuner:
    """Measures passes of one, two, … pictures, and chooses the batch size with the least time per picture."""

    max_batch_size: int = MAX_BATCH_SIZE
    _times_s: dict[tuple[object, int], list[float]] = field(default_factory=dict)

    def choose_batch_size(self, batch_key: object, num_waiting: int) -> int:
        """Return how many of the waiting pictures to denoise together."""
        batch_sizes = range(1, min(num_waiting, self.max_batch_size) + 1)
        for batch_size in reversed(batch_sizes):
            if len(self._times_s.get((batch_key, batch_size), ())) < _TRIALS_PER_SIZE:
                return batch_size
        single_time_s = self._time_per_image(batch_key, 1)
        best_size = min(batch_sizes, key=lambda batch_size: self._time_per_image(batch_key, batch_size))
        return best_size if self._time_per_image(batch_key, best_size) * _MIN_SPEEDUP <= single_time_s else 1

    def record_time(self, batch_key: object, batch_size: int, elapsed_s: float) -> None:
        """Record the time of a pass."""
        times_s = self._times_s.setdefault((batch_key, batch_size), [])
        times_s.append(elapsed_s)
        if len(times_s) > _TRIALS_PER_SIZE:  # only the shortest count: longer ones had other causes
            times_s.remove(max(times_s))

    def _time_per_image(self, batch_key: object, batch_size: int) -> float:
        return min(self._times_s[batch_key, batch_size]) / batch_size


class BatchedDenoiser:
    """Denoises the pictures of all running generations."""

    def __init__(
        self, base: BaseModel, tuner: BatchSizeTuner | None = None, mode_retry: ModeRetry | None = None
    ) -> None:
        self._base = base
        self._mode_retry = mode_retry or ModeRetry()
        self._tuner = tuner or BatchSizeTuner()
        self._images: list[DenoisingImage] = []
        self.is_sequential = False  #: rows go through the UNet one by one, after OOM

    def draw_row_by_row(self) -> None:
        """Run the rows one by one from now on, which takes the least memory."""
        self.is_sequential = True
        self._mode_retry.note_fallback()

    def retry_batches(self) -> None:
        """Run rows together again, if memory ran out long ago or there is enough now."""
        required_bytes = self._base.family.memory.working_bytes(self._base.dtype.itemsize)
        if self._mode_retry.take(placement.read_usable_memory(self._base.device), required_bytes):
            self.is_sequential = False

    def add(self, images: Sequence[DenoisingImage]) -> None:
        """Add pictures to those that can share a batch."""
        self._images += images

    def remove(self, images: Sequence[DenoisingImage]) -> None:
        """Remove pictures, finished or not."""
        self._images = [image for image in self._images if not any(image is removed for removed in images)]

    def step(self, image: DenoisingImage) -> None:
        """Take one denoising step in a picture, and in as many waiting ones as make it faster."""
        waiting_images = [
            other
            for other in self._images
            if other is not image and not other.is_done and other.batch_key == image.batch_key
        ]
        batch_size = (
            1
            if self.is_sequential
            else self._tuner.choose_batch_size(image.batch_key, 1 + len(waiting_images))
        )
        batch = [image, *waiting_images[: batch_size - 1]]
        started_at = time.perf_counter()
        denoise_step(self._base, batch, is_sequential=self.is_sequential)
        if self._base.device.type == "cuda":
            torch.cuda.synchronize()  # without it nothing is measured; once a step costs little
        self._tuner.record_time(image.batch_key, batch_size, time.perf_counter() - started_at)


@torch.no_grad()
def denoise_step(base: BaseModel, images: Sequence[DenoisingImage], is_sequential: bool = False) -> None:
    """Take one denoising step in each picture, in one pass through the UNet.

    `is_sequential` runs the rows one after the other, which takes a fraction of the memory; full precision
    does so always.
    """
    with base.use_precision(images[0].is_full_precision), base.for_pictures():
        _denoise_batch(base, images, is_sequential or images[0].is_full_precision)


def _denoise_batch(base: BaseModel, images: Sequence[DenoisingImage], is_sequential: bool) -> None:
    _activate_adapters(base, images)
    model_inputs = [image.scheduler.scale_model_input(image.latents, image.timestep) for image in images]
    latent_model_input = torch.cat(
        [
            model_input.expand(len(image.conditioning), -1, -1, -1)
            for model_input, image in zip(model_inputs, images, strict=True)
        ]
    )
    timesteps = torch.cat([image.timestep.reshape(1).expand(len(image.conditioning)) for image in images])
    conditioning = Conditioning.cat([image.conditioning for image in images])
    model_pred = _predict(base, latent_model_input, timesteps, conditioning, is_sequential)
    image_preds = torch.split(model_pred, [len(image.conditioning) for image in images])
    for image, model_input, image_pred in zip(images, model_inputs, image_preds, strict=True):
        _apply_prediction(image, model_input, image_pred)
    _search_regions(base, images)


def _search_regions(base: BaseModel, images: Sequence[DenoisingImage]) -> None:
    """Tell pictures that look for people where this step attended to them."""
    attention = base.regions.take_maps()
    if attention is None:
        return
    rows = torch.split(attention, [len(image.conditioning) for image in images])
    for image, image_rows in zip(images, rows, strict=True):
        if image.region_search is not None:
            image.conditioning = image.region_search.observe(image.conditioning, image_rows[-1])


def _predict(
    base: BaseModel, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, is_sequential: bool
) -> Tensor:
    if not is_sequential:
        return base.predict(latents, timesteps, conditioning)
    rows = zip(torch.split(latents, 1), torch.split(timesteps, 1), conditioning.split(), strict=True)
    return torch.cat([base.predict(*row) for row in rows])


def _apply_prediction(image: DenoisingImage, model_input: Tensor, model_pred: Tensor) -> None:
    if len(model_pred) == 2:
        pred_uncond, pred_text = model_pred.chunk(2)
        model_pred = pred_uncond + image.guidance_scale * (pred_text - pred_uncond)
    scheduler, timestep = image.scheduler, image.timestep
    image.pred_original_sample = scheduler.predict_original(model_input, model_pred, timestep)
    image.latents = scheduler.step(model_pred, timestep, image.latents, image.generator)
    image.steps_done += 1


def _activate_adapters(base: BaseModel, images: Sequence[DenoisingImage]) -> None:
    """Activate the LoRA of each picture; a training may have activated its own in the meantime."""
    first_adapter = images[0].adapter
    if any(image.adapter is not first_adapter for image in images):
        BatchedAdapters(base, [(image.adapter, len(image.conditioning)) for image in images]).activate()
    elif first_adapter is None:
        layers.deactivate_all(base)
    else:
        first_adapter.activate()
