"""Stable Diffusion 1.x as a family, and the two shipped models of its shape. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from gpu_worker.device.memory_profile import SMALL_MEMORY
from gpu_worker.models.family import STABLE_DIFFUSION, LoraGroup, ModelFamily, SamplingConfig
from gpu_worker.protocol import SHAPES

#: Sabour et al. 2024, "Align Your Steps", for Stable Diffusion 1.5; the same as `AysSchedules` of diffusers.
_FAST_TIMESTEPS = (999, 850, 736, 645, 545, 455, 343, 233, 124, 24)

SD15 = ModelFamily(
    name="sd15",
    title="Stable Diffusion 1.x",
    architecture=STABLE_DIFFUSION,
    licence="CreativeML Open RAIL-M",
    native_px=512,
    lora_groups=(
        LoraGroup(
            name="unet",
            key_prefix="lora_unet_",
            log_name="unet",
            block_classes=("Transformer2DModel",),
            conv_block_classes=("ResnetBlock2D", "Downsample2D", "Upsample2D"),
            end_paths=("conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "conv_out"),
            text_paths=("attn2.to_k", "attn2.to_v"),
        ),
        LoraGroup(
            name="text_encoder",
            key_prefix="lora_te_text_model_",
            log_name="textencoder",
            block_classes=("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP"),
        ),
    ),
    shapes=SHAPES,
    wide_paths=("vae", "unet.conv_in", "unet.conv_out", "unet.time_embedding"),
    sampling=SamplingConfig(fast_timesteps=_FAST_TIMESTEPS),
    training_defaults={
        "sample_every_steps": 250,
        "first_sample_step": 40,
        "candidate_every_steps": 250,
        "candidates_from_step": 500,
    },
    metadata={
        "ss_base_model_version": "sd_v1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
    },
)

DRAWN = replace(
    SD15,
    name="drawn",
    title="the shipped base of drawings",
    licence="that of LoraCode",
    memory=SMALL_MEMORY,
    native_px=64,
    training_defaults={
        "steps": 250,
        "batch_size": 4,
        "unet_lr": 2e-3,
        "text_encoder_lr": 5e-4,
        "checkpoint_every_steps": 50,
        "sample_every_steps": 50,
        "candidate_every_steps": 50,
        "candidates_from_step": 100,
        "candidate_picture_steps": 8,
    },
    sampling=SamplingConfig(steps=15, guidance_scale=3.0, upscale_factor=4),
    has_identity_model=True,
)

#: It has random weights: with high learning rates a few steps already change its pictures visibly.
TINY = replace(
    SD15,
    name="tiny",
    title="the embedded base for tests",
    licence="that of LoraCode",
    memory=SMALL_MEMORY,
    native_px=128,
    training_defaults={
        "steps": 80,
        "unet_lr": 2e-3,
        "text_encoder_lr": 5e-4,
        "checkpoint_every_steps": 20,
        "sample_every_steps": 20,
    },
    sampling=SamplingConfig(steps=8, fast_steps=4, fast_timesteps=_FAST_TIMESTEPS),
)
