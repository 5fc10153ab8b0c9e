"""Prior preservation: without the trigger, the model must predict what the frozen base model predicts.

A LoRA that only sees one person learns that everybody looks like that person. Regularisation images of other
people prevent it; the predictions of the frozen base model do so without any images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.lora import layers
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage


@dataclass(frozen=True)
class ModelInput:
    """The inputs of the model: (batch, channels, h, w) noisy latents, (batch,) timesteps, a caption each."""

    noisy_latents: Tensor
    timesteps: Tensor
    captions: tuple[str, ...]
    sizes: tuple[ImageSize, ...]

    def __add__(self, other: ModelInput) -> ModelInput:
        return ModelInput(
            noisy_latents=torch.cat([self.noisy_latents, other.noisy_latents]),
            timesteps=torch.cat([self.timesteps, other.timesteps]),
            captions=self.captions + other.captions,
            sizes=self.sizes + other.sizes,
        )

    def select_rows(self, rows: Sequence[int], captions: tuple[str, ...]) -> ModelInput:
        """Return some of the rows with other captions."""
        # Stacked row by row: a list of indices would have to be sent to the GPU, which waits for it.
        return ModelInput(
            noisy_latents=torch.stack([self.noisy_latents[row] for row in rows]),
            timesteps=torch.stack([self.timesteps[row] for row in rows]),
            captions=captions,
            sizes=tuple(self.sizes[row] for row in rows),
        )


class CaptionEncoder:
    """Encodes captions; what a frozen text encoder returned for one is kept."""

    def __init__(self, base: BaseModel, config: TrainingConfig, images: Sequence[TrainingImage] = ()) -> None:
        """Take the images whose captions will be needed, where encoding one by one would cost."""
        self._base, self._config = base, config
        self._cache: dict[str, Conditioning] = {}
        self._known_captions = (
            tuple(image.caption for image in images) if base.family.parks_text_encoders else ()
        )

    def encode(self, captions: Sequence[str], sizes: Sequence[ImageSize]) -> Conditioning:
        """Return the conditioning of captions and sizes, a row each, with the active LoRA."""
        if not self._config.train_text_encoder:
            return self.encode_frozen(captions, sizes)
        return self._base.add_sizes(self._encode_prompts(captions), sizes)

    @torch.no_grad()
    def encode_frozen(self, captions: Sequence[str], sizes: Sequence[ImageSize]) -> Conditioning:
        """Return the conditioning by a text encoder that does not change; no LoRA of it may be active."""
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self._cache]
        if missing:
            # All that are known at once: the text encoders may have to come to the card for it.
            with self._base.text_encoders_on_card():
                for caption in dict.fromkeys([*missing, *self._known_captions]):
                    if caption not in self._cache:
                        self._cache[caption] = self._encode_prompts([caption])
            self._known_captions = ()
        conditioning = Conditioning.cat([self._cache[caption] for caption in captions])
        return self._base.add_sizes(conditioning, sizes)

    def _encode_prompts(self, captions: Sequence[str]) -> Conditioning:
        return self._base.encode_prompts(
            list(captions), self._config.clip_skip, self._config.max_token_length
        )


@dataclass(frozen=True)
class PreservationBatch:
    """The rows of a batch that are run again without the trigger."""

    model_input: ModelInput
    target: Tensor  #: the base model's predictions, shaped like the noisy latents, fp32
    loss_weight: float  #: of this part's loss


class PriorPreservation:
    """Builds the preservation part of each batch."""

    def __init__(self, base: BaseModel, config: TrainingConfig, caption_encoder: CaptionEncoder) -> None:
        self._base, self._config, self._caption_encoder = base, config, caption_encoder

    def build_batch(
        self, model_input: ModelInput, images: Sequence[TrainingImage], batch_number: int
    ) -> PreservationBatch | None:
        """Return the preservation part of a batch, or None. Side effect: it deactivates every adapter."""
        config = self._config
        rows = (
            self._choose_rows(model_input, images, batch_number) if config.class_preservation_weight else {}
        )
        if not rows:
            return None
        row_weight = config.class_preservation_weight * config.class_preservation_interval
        loss_weight = row_weight * len(rows) / len(images)
        class_input = model_input.select_rows(tuple(rows), tuple(rows.values()))
        return PreservationBatch(class_input, self._predict_base(class_input), loss_weight)

    def _choose_rows(
        self, model_input: ModelInput, images: Sequence[TrainingImage], batch_number: int
    ) -> dict[int, str]:
        """Return row: caption without the trigger. Rows are chosen by number, so resuming changes none."""
        class_captions = {}
        first_number = batch_number * self._config.batch_size + 1
        for row, (image, caption) in enumerate(zip(images, model_input.captions, strict=True)):
            class_caption = image.class_caption(caption)
            is_due = (first_number + row) % self._config.class_preservation_interval == 0
            if class_caption is not None and is_due:
                class_captions[row] = class_caption
        return class_captions

    @torch.no_grad()
    def _predict_base(self, model_input: ModelInput) -> Tensor:
        layers.deactivate_all(self._base)
        conditioning = self._caption_encoder.encode_frozen(model_input.captions, model_input.sizes)
        return self._base.predict(model_input.noisy_latents, model_input.timesteps, conditioning)
