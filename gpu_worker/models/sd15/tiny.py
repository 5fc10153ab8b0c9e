"""The embedded base model: Stable Diffusion 1.5's true shape with small widths and fixed-seed weights.

It is built in seconds and needs no download. It has learnt nothing, so its pictures are abstract; training
and generation run through exactly the code that SD 1.5 takes.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel
from transformers.initialization import no_init_weights

from gpu_worker.models.sd15.config import Widths, text_encoder_config, unet_config
from gpu_worker.models.sources.random_weights import fill_randomly
from gpu_worker.models.sources.vae import vae_config

NAME = "tiny"
WIDTHS = Widths(
    unet=(32, 64, 96, 96),
    vae=(16, 32, 64, 64),
    norm_groups=16,
    text_encoder=96,
    text_feed_forward=192,
    image_px=128,
    scaling_factor=0.75,
)
_SEED = 20


def build_parts() -> tuple[Any, Any, CLIPTextModel]:
    """Return UNet, VAE and text encoder; the same weights every time, the global random state as it was."""
    # The weights are drawn from our own generator, so that they do not depend on the libraries' habits. What
    # modules fill themselves with takes a third of the time and is left out; the global one is put back.
    with torch.random.fork_rng(devices=[]), no_init_weights():
        unet = UNet2DConditionModel(**unet_config(WIDTHS))
        vae = AutoencoderKL(**vae_config(WIDTHS))
        text_encoder = CLIPTextModel(CLIPTextConfig(**text_encoder_config(WIDTHS)))
    generator = torch.Generator().manual_seed(_SEED)
    for model in (unet, vae, text_encoder):
        fill_randomly(model, generator)
    return unet, vae, text_encoder
