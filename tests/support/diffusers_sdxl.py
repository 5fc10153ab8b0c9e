"""The SDXL of diffusers' own tests: two levels, a few channels. A pass through it takes milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.sdxl.config import PAD_TOKEN_2, SCHEDULER_CONFIG
from gpu_worker.models.sdxl.family import TINY_XL
from gpu_worker.models.sdxl.loading import SdxlComponents
from gpu_worker.models.sdxl.model import SdxlModel
from gpu_worker.models.text.clip.tokenizer import VOCABULARY_SIZE, load_clip_tokenizer

CPU_CONFIG = DeviceConfig(torch.device("cpu"), MemoryMode(torch.float32), "a test")
FAMILY = replace(TINY_XL, name="diffusers-xl", native_px=64)
_UNET: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (2, 4),
    "attention_head_dim": (2, 4),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2),
    "norm_num_groups": 1,
    "cross_attention_dim": 64,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
}
_VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (32, 64),
    "latent_channels": 4,
    "sample_size": 128,
}
#: Of both text encoders; theirs has a vocabulary of 1000, for a tokenizer that would have to be downloaded.
_TEXT_ENCODER: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_attention_heads": 4,
    "num_hidden_layers": 5,
    "projection_dim": 32,
    "hidden_act": "gelu",
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}


def build_components() -> SdxlComponents:
    """Return the components with the weights that a seed of 0 gives; the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text_config = CLIPTextConfig(**_TEXT_ENCODER)
        return SdxlComponents(
            unet=UNet2DConditionModel(**_UNET),
            vae=AutoencoderKL(**_VAE),
            text_encoder=CLIPTextModel(text_config),
            text_encoder_2=CLIPTextModelWithProjection(text_config),
            tokenizer=load_clip_tokenizer(),
            tokenizer_2=load_clip_tokenizer(PAD_TOKEN_2),
            scheduler_config=SCHEDULER_CONFIG,
        )


def build_model() -> SdxlModel:
    """Return the model on the CPU in fp32."""
    return SdxlModel(FAMILY.name, FAMILY, build_components(), CPU_CONFIG)
