"""One training's lesson: the photos as latents, the words for them, and one optimizer step."""

from __future__ import annotations

from random import Random
from typing import Protocol

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from gpu_worker.models.base import BaseModel
from gpu_worker.training import loss as training_loss
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import BatchSampler, TrainingImage
from gpu_worker.training.latents import EncodedSample
from gpu_worker.training.preservation import ModelInput, PriorPreservation


class SampleDataset(Protocol):
    """All pictures of a training; one may be encoded only when it is asked for."""

    @property
    def images(self) -> tuple[TrainingImage, ...]:
        """What they are made from."""

    def __getitem__(self, index: int) -> EncodedSample:
        """Return a picture as the model gets it."""


class TrainStep:
    """What stays the same during a training, and one step of it."""

    def __init__(self, base: BaseModel, config: TrainingConfig, dataset: SampleDataset) -> None:
        self._base, self._config, self._dataset = base, config, dataset
        self._noise_scheduler = DDPMScheduler.from_config(base.scheduler_config)
        self._loss_fn = training_loss.DiffusionLoss(self._noise_scheduler, config, base.device)
        self._batch_sampler = BatchSampler(dataset.images, config.batch_size, config.seed)
        self._preservation = PriorPreservation(base, config)
        # A text encoder that does not learn says the same of the same words at every step.
        self._embed_cache: dict[str, Tensor] = {}

    def run(self, state: TrainingState) -> Tensor:
        """Do one optimizer step; return its loss, on the model's device, detached."""
        # Whoever ran between two steps left another adapter on, or none.
        state.adapter.activate()
        state.set_learning_rates()
        num_batches = self._config.gradient_accumulation_steps
        total_loss = torch.zeros((), device=self._base.device)
        with torch.enable_grad():
            for batch_offset in range(num_batches):
                batch_loss = self.compute_loss(state, state.step * num_batches + batch_offset) / num_batches
                state.scaler.scale(batch_loss).backward()  # type: ignore[no-untyped-call]
                total_loss += batch_loss.detach()
        if self._config.max_grad_norm:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(state.parameters, self._config.max_grad_norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        return total_loss

    def compute_loss(self, state: TrainingState, batch_number: int) -> Tensor:
        """Return how badly the model tells the noise in a batch of noisy photos."""
        batch = [self._dataset[index] for index in self._batch_sampler.get_batch(batch_number)]
        rng = Random(f"{self._config.seed} {batch_number}")  # noqa: S311 - training noise
        captions = tuple(sample.image.sample_caption(rng) for sample in batch)
        # Drawn for every picture, so that one's setting does not change another's luck.
        flips = [rng.random() < 0.5 and sample.flipped_latents is not None for sample in batch]
        latents = torch.stack(
            [_pick_latents(sample, flip) for sample, flip in zip(batch, flips, strict=True)]
        )
        num_timesteps = self._noise_scheduler.config.num_train_timesteps
        noise_sample = training_loss.sample_noise(
            tuple(latents.shape), self._config, num_timesteps, state.generator
        )
        if state.adapter.has_dropout:
            state.adapter.seed_dropout(int(torch.randint(2**31, (), generator=state.generator)))
        latents = self._to_device(latents)
        noise_sample = training_loss.NoiseSample(
            self._to_device(noise_sample.noise), self._to_device(noise_sample.timesteps)
        )
        noisy_latents = self._noise_scheduler.add_noise(
            latents, noise_sample.noise, noise_sample.timesteps
        ).to(self._base.dtype)
        model_input = ModelInput(noisy_latents, noise_sample.timesteps, captions)
        target, batch_size = self._loss_fn.compute_target(latents, noise_sample), len(batch)
        masks, loss_weights = self._stack_masks(batch, flips), self._build_loss_weights(batch)
        preservation_batch = self._preservation.build_batch(
            model_input, [sample.image for sample in batch], batch_number
        )
        if preservation_batch is None:
            return self._loss_fn(
                self._predict(model_input), target, noise_sample.timesteps, masks, loss_weights
            )
        state.adapter.activate()
        model_pred = self._predict(model_input + preservation_batch.model_input)
        photo_loss = self._loss_fn(
            model_pred[:batch_size], target, noise_sample.timesteps, masks, loss_weights
        )
        return photo_loss + preservation_batch.loss_weight * self._loss_fn(
            model_pred[batch_size:], preservation_batch.target, preservation_batch.model_input.timesteps
        )

    def _predict(self, model_input: ModelInput) -> Tensor:
        model_pred: Tensor = self._base.unet(
            model_input.noisy_latents, model_input.timesteps, self._encode_captions(model_input.captions)
        ).sample
        return model_pred.float()

    def _encode_captions(self, captions: tuple[str, ...]) -> Tensor:
        if self._config.train_text_encoder:
            return self._base.encode_prompts(list(captions), self._config.clip_skip)
        with torch.no_grad():
            for caption in captions:
                if caption not in self._embed_cache:
                    self._embed_cache[caption] = self._base.encode_prompts([caption], self._config.clip_skip)[
                        0
                    ]
        return torch.stack([self._embed_cache[caption] for caption in captions])

    def _stack_masks(self, batch: list[EncodedSample], flips: list[bool]) -> Tensor | None:
        if not self._config.masked_loss:
            return None
        masks = []
        for sample, flip in zip(batch, flips, strict=True):
            mask = torch.ones(1, *sample.latents.shape[1:]) if sample.mask is None else sample.mask
            masks.append(mask.flip(-1) if flip else mask)
        return self._to_device(torch.stack(masks))

    def _build_loss_weights(self, batch: list[EncodedSample]) -> Tensor:
        prior_loss_weight = self._config.prior_loss_weight
        return self._to_device(
            torch.tensor([prior_loss_weight if sample.image.is_regularisation else 1.0 for sample in batch])
        )

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Bring a small tensor to the card without waiting for what the card is doing."""
        if self._base.device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._base.device, non_blocking=True)


def _pick_latents(sample: EncodedSample, is_flipped: bool) -> Tensor:
    return sample.flipped_latents if is_flipped and sample.flipped_latents is not None else sample.latents
