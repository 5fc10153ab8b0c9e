"""One optimizer step: forward, loss, backward."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

import torch
from torch import Tensor

from gpu_worker.device.convolutions import search_convolutions
from gpu_worker.device.cuda_graphs import GraphedPasses
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import ImageSize
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import BatchSampler, TrainingImage
from gpu_worker.training.latents import EncodedSample
from gpu_worker.training.loss import DenoisingLoss, sample_noise
from gpu_worker.training.preservation import CaptionEncoder, ModelInput, PriorPreservation


class SampleDataset(Protocol):
    """The encoded images of a training; one may be encoded only when it is first asked for."""

    @property
    def images(self) -> tuple[TrainingImage, ...]:
        """Return the images that it is made from."""

    def __getitem__(self, index: int) -> EncodedSample:
        """Return the encoded image at an index of `images`."""


@dataclass(frozen=True)
class _Batch:
    """A batch with all that was drawn for it."""

    number: int
    images: tuple[TrainingImage, ...]
    captions: tuple[str, ...]
    sizes: tuple[ImageSize, ...]
    tensors: dict[str, Tensor]  #: by name, on the CPU, a row each

    @property
    def kind(self) -> Hashable:
        """What batches have in common that differ in their tensors' numbers alone."""
        shapes = tuple((name, tensor.shape) for name, tensor in self.tensors.items())
        return self.captions, self.sizes, shapes


class TrainStep:
    """Runs the optimizer steps of one training. Holds what is the same in all of them."""

    def __init__(self, base: BaseModel, config: TrainingConfig, dataset: SampleDataset) -> None:
        self._base, self._config, self._dataset = base, config, dataset
        self._loss_fn = DenoisingLoss(base.noise_process, config, base.device)
        self._batch_sampler = BatchSampler(dataset.images, config.batch_size, config.seed)
        self._caption_encoder = CaptionEncoder(base, config, dataset.images)
        self._preservation = PriorPreservation(base, config, self._caption_encoder)
        self._graphed_passes: GraphedPasses | None = None

    def run(self, state: TrainingState) -> Tensor:
        """Run one optimizer step. Return each batch's loss, (batches,), on the model's device, detached.

        The gradients of its batches are averaged. The last step of an epoch may have fewer, and then has a
        smaller gradient, as in sd-scripts.
        """
        # Another job may have left its own adapter active, or none.
        state.adapter.activate()
        state.set_learning_rates()
        num_batches = self._config.gradient_accumulation_steps
        batch_losses = []
        with torch.enable_grad(), search_convolutions():
            for batch_number in self._batch_sampler.list_batch_numbers(state.step, num_batches):
                batch = self._draw_batch(state, batch_number)
                batch_losses.append(self._run_pass(state, batch, num_batches))
        if self._config.max_grad_norm:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(state.parameters, self._config.max_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        if self._config.max_weight_norm is not None:
            state.adapter.limit_norms(self._config.max_weight_norm)
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        return torch.stack(batch_losses)

    def compute_loss(self, state: TrainingState, batch_number: int) -> Tensor:
        """Return the loss of a batch, shape (), with its graph. Batches are counted from 0."""
        batch = self._draw_batch(state, batch_number)
        return self._compute_loss(state, batch, self._send(batch))

    def _run_pass(self, state: TrainingState, batch: _Batch, num_batches: int) -> Tensor:
        """Compute a batch's share of the gradients; return its loss, detached."""

        def run_pass(tensors: Mapping[str, Tensor]) -> Tensor:
            with state.adapter.cast_for_step():
                batch_loss = self._compute_loss(state, batch, tensors)
                state.scaler.scale(batch_loss / num_batches).backward()  # type: ignore[no-untyped-call]
            return batch_loss.detach()

        if not self._can_replay(state):
            return run_pass(self._send(batch))
        if self._graphed_passes is None:
            self._graphed_passes = GraphedPasses(self._base.device, state.parameters)
        pinned = {name: tensor.pin_memory() for name, tensor in batch.tensors.items()}
        return self._graphed_passes.run(batch.kind, pinned, run_pass)

    def _can_replay(self, state: TrainingState) -> bool:
        """Return whether passes of one kind do the same: nothing is drawn or chosen inside."""
        config, memory_mode = self._config, self._base.memory_mode
        return (
            self._base.device_config.uses_cuda_graphs
            and config.gradient_accumulation_steps == 1
            and not config.class_preservation_weight
            and not state.adapter.has_dropout
            and not memory_mode.gradient_checkpointing
            and not memory_mode.streamed_blocks
        )

    def _draw_batch(self, state: TrainingState, batch_number: int) -> _Batch:
        """Draw all that is random in a batch, on the CPU."""
        samples = [self._dataset[index] for index in self._batch_sampler.get_batch(batch_number)]
        rng = Random(f"{self._config.seed} {batch_number}")  # noqa: S311 - training noise
        captions = tuple(sample.image.sample_caption(rng) for sample in samples)
        # Drawn for every image, so that one image's setting does not change the draws of the others.
        flips = [rng.random() < 0.5 and sample.flipped_latents is not None for sample in samples]
        latents = _stack_latents(samples, flips)
        noise, timesteps = self._sample_noise(state, latents)
        tensors = {
            "latents": latents,
            "noise": noise,
            "timesteps": timesteps,
            "loss_weights": self._build_loss_weights(samples),
        }
        if self._config.masked_loss:
            tensors["masks"] = _stack_masks(samples, flips)
        sizes = tuple(
            sample.size.flipped() if is_flipped else sample.size
            for sample, is_flipped in zip(samples, flips, strict=True)
        )
        return _Batch(batch_number, tuple(sample.image for sample in samples), captions, sizes, tensors)

    def _compute_loss(self, state: TrainingState, batch: _Batch, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch whose tensors are on the device."""
        latents, noise, timesteps = tensors["latents"], tensors["noise"], tensors["timesteps"]
        masks, loss_weights = tensors.get("masks"), tensors["loss_weights"]
        noise_process = self._base.noise_process
        noisy_latents = noise_process.add_noise(latents, noise, timesteps).to(self._base.dtype)
        target = noise_process.compute_target(latents, noise, timesteps)
        model_input = ModelInput(noisy_latents, timesteps, batch.captions, batch.sizes)
        preservation_batch = self._preservation.build_batch(model_input, batch.images, batch.number)
        if preservation_batch is None:
            return self._loss_fn(self._predict(model_input), target, timesteps, masks, loss_weights)
        state.adapter.activate()  # the preservation part was predicted without it
        model_pred = self._predict(model_input + preservation_batch.model_input)
        image_loss = self._loss_fn(model_pred[: len(latents)], target, timesteps, masks, loss_weights)
        preservation_loss = self._loss_fn(
            model_pred[len(latents) :], preservation_batch.target, preservation_batch.model_input.timesteps
        )
        return image_loss + preservation_batch.loss_weight * preservation_loss

    def _sample_noise(self, state: TrainingState, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise and timesteps of a batch, on the CPU; set a seed for LoRA dropout."""
        noise, timesteps = sample_noise(
            tuple(latents.shape), self._config, self._base.noise_process, state.generator
        )
        if state.adapter.has_dropout:
            state.adapter.seed_dropout(int(torch.randint(2**31, (), generator=state.generator)))
        return noise, timesteps

    def _predict(self, model_input: ModelInput) -> Tensor:
        """Return the prediction in fp32, shaped like the noisy latents."""
        conditioning = self._caption_encoder.encode(model_input.captions, model_input.sizes)
        return self._base.predict(model_input.noisy_latents, model_input.timesteps, conditioning)

    def _build_loss_weights(self, batch: list[EncodedSample]) -> Tensor:
        """Return the loss weight of each image, (batch,)."""
        prior_loss_weight = self._config.prior_loss_weight
        return torch.tensor(
            [prior_loss_weight if sample.image.is_regularisation else 1.0 for sample in batch]
        )

    def _send(self, batch: _Batch) -> dict[str, Tensor]:
        """Copy a batch's tensors to the device without waiting for the GPU's queue."""
        if self._base.device.type != "cuda":
            return batch.tensors
        return {
            name: tensor.pin_memory().to(self._base.device, non_blocking=True)
            for name, tensor in batch.tensors.items()
        }


def _stack_latents(batch: list[EncodedSample], flips: list[bool]) -> Tensor:
    """Return the latents of a batch, (batch, channels, h, w), flipped where asked for."""
    latents = []
    for sample, is_flipped in zip(batch, flips, strict=True):
        flipped_latents = sample.flipped_latents if is_flipped else None
        latents.append(sample.latents if flipped_latents is None else flipped_latents)
    return torch.stack(latents)


def _stack_masks(batch: list[EncodedSample], flips: list[bool]) -> Tensor:
    """Return the loss masks, (batch, 1, h, w); an image without a mask counts in full."""
    masks = []
    for sample, is_flipped in zip(batch, flips, strict=True):
        mask = torch.ones(1, *sample.latents.shape[1:]) if sample.mask is None else sample.mask
        masks.append(mask.flip(-1) if is_flipped else mask)
    return torch.stack(masks)
