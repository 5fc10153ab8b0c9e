"""A Z-Image: a transformer whose time runs backwards, its output negated, and Qwen3 near its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.model import EMBEDS, FlowComponents, FlowModel
from gpu_worker.models.flow.z_image.config import PATCH_SIDE, TEXT_LAYERS
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.models.inputs.regions import JointTokens
from gpu_worker.models.noise.flow import TRAIN_TIMESTEPS, Flow, FlowConfig
from gpu_worker.models.text.qwen3.encoder import Qwen3Encoder

_MASK = "prompt_mask"  #: (rows, most tokens): which are of the prompt
#: The transformer fills up pictures and texts to multiples of so many tokens (diffusers' SEQ_MULTI_OF).
_TOKENS_STEP = 32


class ZImageModel(FlowModel):
    """The frozen components of one Z-Image."""

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        parts: FlowComponents,
        device_config: DeviceConfig,
        max_tokens: int = 512,
    ) -> None:
        configs = parts.scheduler_config, parts.training_scheduler_config
        flow = Flow(FlowConfig(*configs, patch_side=PATCH_SIDE))
        encoder = Qwen3Encoder(parts.text_encoder, parts.tokenizer, TEXT_LAYERS, max_tokens, is_thinking=True)
        super().__init__(name, family, parts, flow, encoder, device_config)

    def predict_with(
        self, transformer: Any, latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Return the transformer's prediction, the right way round."""
        prompts = self.list_prompt_embeds(conditioning)
        pictures = list(latents.unsqueeze(2).unbind())  # each is a film of one frame
        times = (TRAIN_TIMESTEPS - timesteps.to(latents.device)) / TRAIN_TIMESTEPS
        predictions = transformer(pictures, times, prompts, return_dict=False)[0]
        return -torch.stack(list(predictions)).squeeze(2)

    def list_prompt_embeds(self, conditioning: Conditioning) -> list[Tensor]:
        """Return the embeddings of each row's prompt, without what it was filled up with."""
        embeds = conditioning.tensors[EMBEDS].to(self.dtype)
        return [row[mask > 0] for row, mask in zip(embeds, conditioning.tensors[_MASK], strict=True)]

    def join_tokens(self, height: int, width: int) -> JointTokens:
        """Return the picture's tokens first, filled up, then those of the text."""
        size = height // PATCH_SIDE, width // PATCH_SIDE
        num_tokens = math.ceil(size[0] * size[1] / _TOKENS_STEP) * _TOKENS_STEP
        return JointTokens(size, num_tokens, is_text_first=False)

    def to_model_latents(self, mean: Tensor, std: Tensor) -> LatentDistribution:
        """Return the distribution of what the VAE made, shifted and scaled."""
        config = self.components["vae"].config
        scaling_factor = float(config.scaling_factor)
        return LatentDistribution((mean - float(config.shift_factor)) * scaling_factor, std * scaling_factor)

    def to_vae_latents(self, latents: Tensor) -> Tensor:
        """Return latents as the VAE takes them."""
        config = self.components["vae"].config
        return latents / float(config.scaling_factor) + float(config.shift_factor)

    def _build_conditioning(self, prompts: Sequence[str]) -> Conditioning:
        with self.text_encoders_on_card():
            encoded = self._encoder.encode(prompts)
        mask = encoded.mask.to(encoded.hidden_states.dtype)
        return Conditioning({EMBEDS: encoded.hidden_states.to(self.device), _MASK: mask.to(self.device)})
