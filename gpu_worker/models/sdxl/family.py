"""Stable Diffusion XL as a family, and its embedded small model. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.device.memory_profile import (
    GIB,
    SMALL_MEMORY,
    BlockGroup,
    MemoryProfile,
    StoredPart,
)
from gpu_worker.models.family import SDXL_ARCHITECTURE, LoraGroup, ModelFamily, SamplingConfig
from gpu_worker.models.sdxl.names import UNET_NAMES

_CLIP_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
#: Sabour et al. 2024, "Align Your Steps", for SDXL; the same as `AysSchedules` of diffusers.
_FAST_TIMESTEPS = (999, 845, 730, 587, 443, 310, 193, 116, 53, 13)

SDXL = ModelFamily(
    name="sdxl",
    title="SDXL",
    architecture=SDXL_ARCHITECTURE,
    licence="CreativeML Open RAIL++-M",
    native_px=1024,
    lora_groups=(
        LoraGroup(
            name="unet",
            key_prefix="lora_unet_",
            log_name="unet",
            block_classes=("Transformer2DModel",),
            conv_block_classes=("ResnetBlock2D", "Downsample2D", "Upsample2D"),
            end_paths=("conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "conv_out"),
            text_paths=("attn2.to_k", "attn2.to_v"),
            names=UNET_NAMES,
        ),
        LoraGroup(
            name="text_encoder",
            key_prefix="lora_te1_text_model_",
            log_name="textencoder 1",
            block_classes=_CLIP_BLOCKS,
            other_prefixes=("lora_te_text_model_",),
        ),
        LoraGroup(
            name="text_encoder_2",
            key_prefix="lora_te2_text_model_",
            log_name="textencoder 2",
            block_classes=_CLIP_BLOCKS,
        ),
    ),
    memory=MemoryProfile(
        parameters=2.651e9,  # UNet and VAE; the text encoders are in system memory
        activation_bytes={2: 6.4 * GIB, 4: 12.8 * GIB},
        checkpointed_share=0.1,
        overhead_bytes=0.64 * GIB,
        min_memory_gb=12.0,
        quantizable=2.559e9,
        text_encoders=StoredPart(0.818e9, 0.717e9),
        picture_bytes=0.154 * GIB,
        blocks=(BlockGroup("BasicTransformerBlock", 60, 34.7e6),),
        teraflops=14.7,
    ),
    wide_paths=("vae", "unet.conv_in", "unet.conv_out", "unet.time_embedding", "unet.add_embedding"),
    parks_text_encoders=True,
    # The buckets of about a megapixel that it was trained on: 832 x 1216.
    ratio_keeps_area=True,
    shapes={"square": (1.0, 1.0), "portrait": (0.8125, 1.1875), "landscape": (1.1875, 0.8125)},
    training_defaults={
        "train_text_encoder": False,  # sd-scripts' guide for SDXL: the UNet only
        "text_encoder_lr": 1e-5,  # and this rate where they learn
        "checkpoint_every_s": 300.0,  # half a gigabyte each
        "sample_every_steps": 250,
        "first_sample_step": 40,
        "candidate_every_steps": 250,
        "candidates_from_step": 500,
    },
    sampling=SamplingConfig(guidance_scale=5.0, fast_timesteps=_FAST_TIMESTEPS),  # diffusers' guidance
    metadata={
        "ss_base_model_version": "sdxl_base_v1-0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    },
)

#: It has random weights: with high learning rates a few steps already change its pictures visibly.
TINY_XL = replace(
    SDXL,
    name="tiny-xl",
    title="the embedded SDXL for tests",
    licence="that of LoraCode",
    memory=SMALL_MEMORY,
    native_px=128,
    training_defaults={
        "train_text_encoder": False,
        "steps": 40,
        "unet_lr": 2e-3,
        "text_encoder_lr": 5e-4,
        "checkpoint_every_steps": 20,
        "sample_every_steps": 20,
    },
    sampling=SamplingConfig(steps=6, guidance_scale=5.0, fast_steps=4, fast_timesteps=_FAST_TIMESTEPS),
)
