"""The embedded SDXL: its true shape with small widths and fixed-seed weights, for tests and the console."""

from __future__ import annotations

from dataclasses import replace

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from transformers.initialization import no_init_weights

from gpu_worker.models.sdxl import config
from gpu_worker.models.sdxl.config import PAD_TOKEN_2, SCHEDULER_CONFIG, SdxlWidths
from gpu_worker.models.sdxl.loading import SdxlComponents
from gpu_worker.models.sources.random_weights import fill_randomly
from gpu_worker.models.sources.vae import vae_config
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer

NAME = "tiny-xl"
WIDTHS = SdxlWidths(
    unet=(32, 64, 96),
    heads=(2, 4, 6),
    vae=(16, 32, 64, 64),
    norm_groups=16,
    text_encoder=48,
    text_feed_forward=96,
    text_encoder_2=64,
    text_feed_forward_2=128,
    text_heads_2=4,
    size_embedding=32,
    image_px=128,
    scaling_factor=0.75,
)
_SEED = 21


def build_components(other_vae: AutoencoderKL | None = None, widths: SdxlWidths = WIDTHS) -> SdxlComponents:
    """Return the components; the same weights every time, the global random state as it was."""
    with torch.random.fork_rng(devices=[]), no_init_weights():
        components = SdxlComponents(
            unet=UNet2DConditionModel(**config.unet_config(widths)),
            vae=AutoencoderKL(**vae_config(widths)),
            text_encoder=CLIPTextModel(CLIPTextConfig(**config.text_encoder_config(widths))),
            text_encoder_2=CLIPTextModelWithProjection(
                CLIPTextConfig(**config.text_encoder_2_config(widths))
            ),
            tokenizer=load_clip_tokenizer(),
            tokenizer_2=load_clip_tokenizer(PAD_TOKEN_2),
            scheduler_config=SCHEDULER_CONFIG,
        )
    generator = torch.Generator().manual_seed(_SEED)
    for module in components.modules.values():
        fill_randomly(module, generator)
    return components if other_vae is None else replace(components, vae=other_vae)
