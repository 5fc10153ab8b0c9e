"""The embedded klein: its true shape with small widths and fixed-seed weights, and a twin that differs."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from transformers import Qwen3Config, Qwen3Model
from transformers.initialization import no_init_weights

from gpu_worker.models.flow.klein import config
from gpu_worker.models.flow.klein.config import SCHEDULER_CONFIG, KleinWidths
from gpu_worker.models.flow.model import FlowComponents
from gpu_worker.models.sources.random_weights import fill_randomly, make_twin
from gpu_worker.models.text.qwen3.config import SMALL, text_encoder_config
from gpu_worker.models.text.qwen3.tokenizer import build_byte_tokenizer

WIDTHS = KleinWidths(
    head=16,
    heads=2,
    timestep_channels=32,
    vae=(16, 32, 64, 64),
    norm_groups=16,
    text_encoder=SMALL.hidden,
    image_px=128,
)
_SEED = 22


def build_components() -> FlowComponents:
    """Return the components; the same weights every time, the global random state as it was."""
    with torch.random.fork_rng(devices=[]), no_init_weights():
        transformer: Any = Flux2Transformer2DModel(**config.transformer_config(WIDTHS))
        vae: Any = AutoencoderKLFlux2(**config.vae_config(WIDTHS))
        text_encoder = Qwen3Model(Qwen3Config(**text_encoder_config(SMALL)))
    generator = torch.Generator().manual_seed(_SEED)
    for module in (transformer, vae, text_encoder):
        fill_randomly(module, generator)
    vae.bn.running_mean.normal_(std=0.1, generator=generator)
    vae.bn.running_var.uniform_(0.8, 1.2, generator=generator)
    return FlowComponents(
        transformer=transformer,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=build_byte_tokenizer(),
        scheduler_config=SCHEDULER_CONFIG,
        distilled_transformer=make_twin(transformer, generator),
    )
