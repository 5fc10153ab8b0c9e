"""The embedded Z-Image: its true shape with small widths and fixed-seed weights, and a twin that differs."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model
from transformers.initialization import no_init_weights

from gpu_worker.models.flow.model import FlowComponents
from gpu_worker.models.flow.z_image import config
from gpu_worker.models.flow.z_image.config import BASE_SCHEDULER_CONFIG, SCHEDULER_CONFIG, ZImageWidths
from gpu_worker.models.sources.random_weights import fill_randomly, make_twin
from gpu_worker.models.text.qwen3.config import SMALL, text_encoder_config
from gpu_worker.models.text.qwen3.tokenizer import build_byte_tokenizer

WIDTHS = ZImageWidths(
    width=32,
    heads=2,
    rope=(4, 6, 6),
    text_encoder=SMALL.hidden,
    vae=(16, 32, 64, 64),
    norm_groups=16,
    image_px=128,
)
_SEED = 23


def build_components() -> FlowComponents:
    """Return the components; the same weights every time, the global random state as it was."""
    with torch.random.fork_rng(devices=[]), no_init_weights():
        transformer: Any = ZImageTransformer2DModel(**config.transformer_config(WIDTHS))
        vae = AutoencoderKL(**config.vae_config(WIDTHS))
        text_encoder = Qwen3Model(Qwen3Config(**text_encoder_config(SMALL)))
    generator = torch.Generator().manual_seed(_SEED)
    for module in (transformer, vae, text_encoder):
        fill_randomly(module, generator)
    for pad_token in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.normal_(pad_token, std=0.02, generator=generator)
    return FlowComponents(
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=build_byte_tokenizer(),
        scheduler_config=SCHEDULER_CONFIG,
        training_scheduler_config=BASE_SCHEDULER_CONFIG,
        distilled_transformer=make_twin(transformer, generator),
    )
