"""Keeping the class as it was: without the trigger, the base model's own answer is the right one.

A LoRA that only ever sees one person learns that everybody looks so. Photos of other people would tell it
otherwise (regularisation); the frozen base model can say the same without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.lora import layers
from gpu_worker.models.base import BaseModel
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage


@dataclass(frozen=True)
class ModelInput:
    """What the model is shown: (batch, 4, h, w) noisy latents, (batch,) timesteps, and words for each."""

    noisy_latents: Tensor
    timesteps: Tensor
    captions: tuple[str, ...]

    def __add__(self, other: ModelInput) -> ModelInput:
        noisy_latents, timesteps = (
            torch.cat([self.noisy_latents, other.noisy_latents]),
            torch.cat([self.timesteps, other.timesteps]),
        )
        return ModelInput(noisy_latents, timesteps, self.captions + other.captions)

    def select_rows(self, rows: Sequence[int], captions: tuple[str, ...]) -> ModelInput:
        """Return some of it with other words."""
        # Stacked row by row: a list of places would have to be sent to the card, which waits for it.
        noisy_latents, timesteps = (
            torch.stack([tensor[row] for row in rows]) for tensor in (self.noisy_latents, self.timesteps)
        )
        return ModelInput(noisy_latents, timesteps, captions)


@dataclass(frozen=True)
class PreservationBatch:
    """What of a batch is shown again, the base model's own answers (fp32), and how much they count."""

    model_input: ModelInput
    target: Tensor
    loss_weight: float


class PriorPreservation:
    """Chooses what is shown again in a step, and asks the base model itself about it."""

    def __init__(self, base: BaseModel, config: TrainingConfig) -> None:
        self._base, self._config = base, config
        # The frozen text encoder says the same of the same words at every step.
        self._embed_cache: dict[str, Tensor] = {}

    def build_batch(
        self, model_input: ModelInput, images: Sequence[TrainingImage], batch_number: int
    ) -> PreservationBatch | None:
        """Return what of a batch is shown again, None when nothing is. May leave every adapter off."""
        rows = (
            self._choose_rows(model_input, images, batch_number)
            if self._config.class_preservation_weight
            else {}
        )
        if not rows:
            return None
        loss_weight = (
            self._config.class_preservation_weight
            * self._config.class_preservation_interval
            * len(rows)
            / len(images)
        )
        class_input = model_input.select_rows(tuple(rows), tuple(rows.values()))
        return PreservationBatch(class_input, self._predict_base(class_input), loss_weight)

    def _choose_rows(
        self, model_input: ModelInput, images: Sequence[TrainingImage], batch_number: int
    ) -> dict[int, str]:
        """Return rows with their words without the trigger; by number, so that resuming changes none."""
        first_number, class_captions = batch_number * self._config.batch_size, {}
        for row, (image, caption) in enumerate(zip(images, model_input.captions, strict=True)):
            class_caption = image.class_caption(caption)
            if (
                class_caption is not None
                and (first_number + row + 1) % self._config.class_preservation_interval == 0
            ):
                class_captions[row] = class_caption
        return class_captions

    @torch.no_grad()
    def _predict_base(self, model_input: ModelInput) -> Tensor:
        layers.deactivate_all(self._base)
        for caption in model_input.captions:
            if caption not in self._embed_cache:
                self._embed_cache[caption] = self._base.encode_prompts([caption], self._config.clip_skip)[0]
        prompt_embeds = torch.stack([self._embed_cache[caption] for caption in model_input.captions])
        model_pred: Tensor = self._base.unet(
            model_input.noisy_latents, model_input.timesteps, prompt_embeds
        ).sample
        return model_pred.float()
