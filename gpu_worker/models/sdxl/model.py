"""An SDXL: a UNet that is told sizes, two text encoders read at their last layer but one, and a wide VAE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.models.inputs.region_attention import RegionalAttention
from gpu_worker.models.inputs.regions import Regions, flatten_readings
from gpu_worker.models.noise.diffusion import Diffusion
from gpu_worker.models.sdxl.loading import SdxlComponents, vae_dtype
from gpu_worker.models.sources.vae import VaeSource
from gpu_worker.models.text.clip.encoder import ClipEmbeddings, ClipEncoder
from gpu_worker.models.text.clip.tokenizer import CHUNK_TOKENS

_EMBEDS = "prompt_embeds"  #: (rows, tokens, width of both encoders); with regions (rows, readings, …)
_POOLED = "pooled_embeds"  #: (rows, width of the second)
_SIZES = "time_ids"  #: (rows, 6), in pixels


class SdxlModel(BaseModel):
    """The frozen components of one SDXL."""

    has_readings = True

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        parts: SdxlComponents,
        device_config: DeviceConfig,
        other_vae: VaeSource | None = None,
    ) -> None:
        self.unet: UNet2DConditionModel = parts.unet
        self._encoders = (
            ClipEncoder(parts.text_encoder, parts.tokenizer, uses_penultimate=True),
            ClipEncoder(parts.text_encoder_2, parts.tokenizer_2, uses_penultimate=True),
        )
        diffusion = Diffusion(parts.scheduler_config, family.sampling.fast_timesteps)
        super().__init__(name, family, parts.modules, diffusion, device_config, other_vae)
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
        """None: SDXL's text is always read at the last layer but one."""
        return 0

    def component_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """Return the precision of a component: the VAE's is never fp16."""
        return vae_dtype(dtype) if name == "vae" else dtype

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the UNet's prediction."""
        tensors = conditioning.tensors
        added_conditions = {"text_embeds": tensors[_POOLED].to(self.dtype), "time_ids": tensors[_SIZES]}
        prompt_embeds = tensors[_EMBEDS].to(self.dtype)
        with self.regions.use(Regions.from_conditioning(conditioning, prompt_embeds)):
            model_pred: Tensor = self.unet(
                latents.to(self.dtype),
                timesteps,
                flatten_readings(prompt_embeds),
                added_cond_kwargs=added_conditions,
            ).sample
        return model_pred.float()

    def join_readings(self, readings: Sequence[Conditioning]) -> Conditioning:
        """Return the readings one behind the other, and the mean of what is pooled: it is of the whole."""
        embeds, pooled = (
            torch.stack([each.tensors[name] for each in readings], dim=1) for name in (_EMBEDS, _POOLED)
        )
        return Conditioning({**readings[0].tensors, _EMBEDS: embeds, _POOLED: pooled.mean(1)})

    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return where words stand among the tokens, which both encoders read alike."""
        return self._encoders[0].find_words(prompt, words)

    def encode_prompts(
        self, prompts: Sequence[str], clip_skip: int | None = None, max_token_length: int = CHUNK_TOKENS
    ) -> Conditioning:
        """Return both encoders' embeddings side by side, and the second's pooled ones."""
        del clip_skip
        return self._encode(lambda encoder: encoder.encode_prompts(prompts, None, max_token_length))

    def encode_weighted_prompts(
        self, prompts: Sequence[str], negative_prompt: str | None = None
    ) -> Conditioning:
        """Return the same for prompts of any length; an empty negative prompt is zeros, as in training."""
        if negative_prompt is None:
            return self._encode(lambda encoder: encoder.encode_weighted(prompts))
        conditioning = self._encode(lambda encoder: encoder.encode_weighted([negative_prompt, *prompts]))
        if not negative_prompt:
            for tensor in conditioning.tensors.values():
                tensor[0] = 0
        return conditioning

    def _encode(self, encode: Callable[[ClipEncoder], ClipEmbeddings]) -> Conditioning:
        with self.text_encoders_on_card():
            encoded = [encode(encoder) for encoder in self._encoders]
        pooled = encoded[-1].pooled
        if pooled is None:
            raise AssertionError("the second text encoder pools")
        embeds = torch.cat([embeddings.hidden_states for embeddings in encoded], dim=-1)
        return Conditioning({_EMBEDS: embeds.to(self.device), _POOLED: pooled.to(self.device)})

    def add_sizes(self, conditioning: Conditioning, sizes: Sequence[ImageSize]) -> Conditioning:
        """Return the conditioning with each row's size, crop and target, height before width."""
        rows = [
            [side for pair in (size.original_px, size.crop_px, size.target_px) for side in reversed(pair)]
            for size in sizes
        ]
        time_ids = torch.tensor(rows, dtype=torch.float32)
        if self.device.type == "cuda":
            time_ids = time_ids.pin_memory().to(self.device, non_blocking=True)
        return Conditioning({**conditioning.tensors, _SIZES: time_ids})
