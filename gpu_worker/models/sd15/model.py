"""A Stable Diffusion 1.x: a UNet, a VAE and one text encoder, whose last layer is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.inputs.region_attention import RegionalAttention
from gpu_worker.models.inputs.regions import Regions, flatten_readings
from gpu_worker.models.noise.diffusion import Diffusion
from gpu_worker.models.sd15.loading import ModelComponents
from gpu_worker.models.sources.vae import VaeSource
from gpu_worker.models.text.clip.encoder import ClipEncoder
from gpu_worker.models.text.clip.tokenizer import CHUNK_TOKENS

_EMBEDS = "prompt_embeds"  #: (rows, tokens, width); with regions (rows, readings, tokens, width)


class Sd15Model(BaseModel):
    """The frozen components of one Stable Diffusion 1.x."""

    has_readings = True

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        parts: ModelComponents,
        device_config: DeviceConfig,
        other_vae: VaeSource | None = None,
    ) -> None:
        self.unet: UNet2DConditionModel = parts.unet
        self.tokenizer = parts.tokenizer
        self._text_encoder = parts.text_encoder
        self._encoder = ClipEncoder(parts.text_encoder, parts.tokenizer)
        components = {"unet": parts.unet, "vae": parts.vae, "text_encoder": parts.text_encoder}
        diffusion = Diffusion(parts.scheduler_config, family.sampling.fast_timesteps)
        super().__init__(name, family, components, diffusion, device_config, other_vae)
        self.unet.set_attn_processor(RegionalAttention(self.regions, self.max_kernel_flops))

    @property
    def native_px(self) -> int:
        """Side of the pictures that the model was trained on, in pixels."""
        return int(self.unet.config.sample_size) * self.vae_scale_factor

    @property
    def denoiser(self) -> Any:
        """The UNet."""
        return self.unet

    @property
    def max_clip_skip(self) -> int:
        """The layers of the text encoder. The final layer norm is applied to each, as SD 1.5 expects."""
        return int(self._text_encoder.config.num_hidden_layers)

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the UNet's prediction."""
        prompt_embeds = conditioning.tensors[_EMBEDS].to(self.dtype)
        with self.regions.use(Regions.from_conditioning(conditioning, prompt_embeds)):
            model_pred: Tensor = self.unet(
                latents.to(self.dtype), timesteps, flatten_readings(prompt_embeds)
            ).sample
        return model_pred.float()

    def join_readings(self, readings: Sequence[Conditioning]) -> Conditioning:
        """Return the readings one behind the other."""
        return Conditioning({_EMBEDS: torch.stack([each.tensors[_EMBEDS] for each in readings], dim=1)})

    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return where words stand among the tokens."""
        return self._encoder.find_words(prompt, words)

    def encode_prompts(
        self, prompts: Sequence[str], clip_skip: int | None = None, max_token_length: int = CHUNK_TOKENS
    ) -> Conditioning:
        """Return the prompt embeddings, (prompts, 77, width) or longer; `clip_skip` counts from 1."""
        encoded = self._encoder.encode_prompts(prompts, clip_skip, max_token_length)
        return Conditioning({_EMBEDS: encoded.hidden_states})

    def encode_weighted_prompts(
        self, prompts: Sequence[str], negative_prompt: str | None = None
    ) -> Conditioning:
        """Return the prompt embeddings, (prompts, 77 * chunks, width)."""
        all_prompts = prompts if negative_prompt is None else [negative_prompt, *prompts]
        return Conditioning({_EMBEDS: self._encoder.encode_weighted(all_prompts).hidden_states})
