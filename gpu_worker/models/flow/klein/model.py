"""A klein: a transformer over packed latents, and Qwen3 read at three layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.config import PATCH_SIDE, TEXT_LAYERS, compute_mu
from gpu_worker.models.flow.model import EMBEDS, FlowComponents, FlowModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.models.inputs.regions import JointTokens
from gpu_worker.models.noise.flow import TRAIN_TIMESTEPS, Flow, FlowConfig
from gpu_worker.models.text.qwen3.encoder import Qwen3Encoder


class KleinModel(FlowModel):
    """The frozen components of one klein. Its latents are packed and normalised."""

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        parts: FlowComponents,
        device_config: DeviceConfig,
        max_tokens: int = 512,
    ) -> None:
        flow = Flow(FlowConfig(parts.scheduler_config, parts.training_scheduler_config, compute_mu))
        encoder = Qwen3Encoder(parts.text_encoder, parts.tokenizer, TEXT_LAYERS, max_tokens)
        super().__init__(name, family, parts, flow, encoder, device_config)

    @property
    def vae_scale_factor(self) -> int:
        """Width of one packed latent in pixels."""
        return super().vae_scale_factor * PATCH_SIDE

    def latent_shape(self, size_px: tuple[int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of the packed latents of a picture of this width and height."""
        channels, height, width = super().latent_shape(size_px)
        return channels * PATCH_SIDE**2, height, width

    def predict_with(
        self, transformer: Any, latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Return the transformer's prediction: a token for each packed latent."""
        embeds = conditioning.tensors[EMBEDS].to(self.dtype)
        height, width = latents.shape[-2:]
        model_pred: Tensor = transformer(
            hidden_states=latents.flatten(2).transpose(1, 2),
            timestep=timesteps.to(latents.device) / TRAIN_TIMESTEPS,
            encoder_hidden_states=embeds,
            txt_ids=_list_positions(1, 1, embeds.shape[1], latents.device),
            img_ids=_list_positions(height, width, 1, latents.device),
        ).sample
        return model_pred.transpose(1, 2).reshape(len(latents), -1, height, width)

    def join_tokens(self, height: int, width: int) -> JointTokens:
        """Return the text's tokens first, then one for each packed latent."""
        return JointTokens((height, width), height * width, is_text_first=True)

    def to_model_latents(self, mean: Tensor, std: Tensor) -> LatentDistribution:
        """Return the distribution of packed latents, normalised by the VAE's statistics."""
        shift, scale = (each.cpu()[0] for each in self._statistics(mean))
        return LatentDistribution((pack(mean[None])[0] - shift) / scale, pack(std[None])[0] / scale)

    def to_vae_latents(self, latents: Tensor) -> Tensor:
        """Return the VAE's latents of packed ones."""
        shift, scale = self._statistics(latents)
        return unpack(latents * scale + shift)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each packed channel, (1, channels, 1, 1), fp32."""
        vae = self.components["vae"]
        variance = vae.bn.running_var.float().view(1, -1, 1, 1) + vae.config.batch_norm_eps
        mean = vae.bn.running_mean.float().view(1, -1, 1, 1)
        return mean.to(like.device), variance.sqrt().to(like.device)

    def _build_conditioning(self, prompts: Sequence[str]) -> Conditioning:
        with self.text_encoders_on_card():
            embeds = self._encoder.encode(prompts).hidden_states
        return Conditioning({EMBEDS: embeds.to(self.device)})


def pack(latents: Tensor) -> Tensor:
    """Return latents, (rows, channels, h, w), two by two in the channels, (rows, 4 channels, h/2, w/2)."""
    return torch.nn.functional.pixel_unshuffle(latents, PATCH_SIDE)


def unpack(latents: Tensor) -> Tensor:
    """Return packed latents as they were before."""
    return torch.nn.functional.pixel_shuffle(latents, PATCH_SIDE)


def _list_positions(height: int, width: int, tokens: int, device: torch.device) -> Tensor:
    """Return the position of each token: picture, row, column, place in the text."""
    sides = (torch.arange(side, device=device) for side in (1, height, width, tokens))
    return torch.cartesian_prod(*sides)
