"""klein and Z-Image at their true shape on fake tensors; their text encoder is not on the card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2, Flux2Transformer2DModel, ZImageTransformer2DModel
from torch import Tensor, nn

from benchmarks.card.fake_card import CARD, on_host
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.flow.klein import config as klein_config
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.klein.model import KleinModel
from gpu_worker.models.flow.model import EMBEDS, FlowComponents, FlowModel
from gpu_worker.models.flow.z_image import config as z_image_config
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.flow.z_image.model import ZImageModel
from gpu_worker.models.inputs.conditioning import Conditioning
from gpu_worker.models.text.qwen3.tokenizer import build_byte_tokenizer

#: klein reads as many tokens whatever the prompt; Z-Image reads those of a short caption, filled up.
KLEIN_TOKENS, Z_IMAGE_TOKENS = 512, 32


class CountedKlein(KleinModel):
    """A klein whose captions were encoded before."""

    def _build_conditioning(self, prompts: Sequence[str]) -> Conditioning:
        width = self.denoiser.config.joint_attention_dim
        return Conditioning({EMBEDS: _zeros(len(prompts), KLEIN_TOKENS, width, self.dtype)})


class CountedZImage(ZImageModel):
    """A Z-Image whose captions were encoded before; how long they are cannot be read from fake numbers."""

    def _build_conditioning(self, prompts: Sequence[str]) -> Conditioning:
        width = self.denoiser.config.cap_feat_dim
        return Conditioning({EMBEDS: _zeros(len(prompts), Z_IMAGE_TOKENS, width, self.dtype)})

    def list_prompt_embeds(self, conditioning: Conditioning) -> list[Tensor]:
        """Return all tokens of each row."""
        return list(conditioning.tensors[EMBEDS].to(self.dtype))


def build_flow_base(
    family: str, memory_mode: MemoryMode, place: Callable[[Any, torch.dtype], Any]
) -> FlowModel:
    """Return a base model at its true shape; `place` puts a part on the card."""
    device_config = DeviceConfig(CARD, memory_mode, "counted")
    is_klein = family == KLEIN.name
    transformer, vae = _build_klein() if is_klein else _build_z_image()
    scheduler_config = (klein_config if is_klein else z_image_config).SCHEDULER_CONFIG
    parts = FlowComponents(
        place(transformer, memory_mode.dtype),
        place(vae, memory_mode.dtype),
        text_encoder=nn.Module(),
        tokenizer=build_byte_tokenizer(),
        scheduler_config=scheduler_config,
    )
    if is_klein:
        return CountedKlein("counted", KLEIN, parts, device_config)
    return CountedZImage("counted", Z_IMAGE, parts, device_config)


def _zeros(rows: int, tokens: int, width: int, dtype: torch.dtype) -> Tensor:
    return torch.zeros(rows, tokens, width, dtype=dtype, device=CARD)


@on_host
def _build_klein() -> tuple[Any, Any]:
    widths = klein_config.KleinWidths()
    with torch.device("meta"):
        transformer: Any = Flux2Transformer2DModel(**klein_config.transformer_config(widths))
        vae: Any = AutoencoderKLFlux2(**klein_config.vae_config(widths))
    return transformer, vae


@on_host
def _build_z_image() -> tuple[Any, Any]:
    widths = z_image_config.ZImageWidths()
    with torch.device("meta"):
        transformer: Any = ZImageTransformer2DModel(**z_image_config.transformer_config(widths))
        vae: Any = AutoencoderKL(**z_image_config.vae_config(widths))
    return transformer, vae
