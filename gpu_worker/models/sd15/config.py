"""Stable Diffusion 1.5's four parts as configurations; only the widths are open.

The full widths read single-file checkpoints, small ones make the embedded base model, so both are the same
architecture: 192 LoRA targets in the UNet and 72 in the text encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_worker.models.text.clip.tokenizer import MAX_TOKENS, VOCABULARY_SIZE


@dataclass(frozen=True)
class Widths:
    """What differs between a full-size and a small Stable Diffusion 1.5."""

    unet: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)
    norm_groups: int = 32
    text_encoder: int = 768
    text_feed_forward: int = 3072
    image_px: int = 512
    scaling_factor: float = 0.18215  #: brings the VAE's latents to a standard deviation of about 1


#: Scheduler configuration that SD 1.5 was trained with; every sampler is made from it.
SCHEDULER_CONFIG: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
}


def unet_config(widths: Widths) -> dict[str, Any]:
    """Return the configuration for `UNet2DConditionModel`."""
    return {
        "sample_size": widths.image_px // 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "block_out_channels": widths.unet,
        "layers_per_block": 2,
        "norm_num_groups": widths.norm_groups,
        "cross_attention_dim": widths.text_encoder,
        "attention_head_dim": 8,  # in this model's configurations it means the number of heads
    }


def text_encoder_config(widths: Widths) -> dict[str, Any]:
    """Return the configuration for `CLIPTextConfig`."""
    return {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": widths.text_encoder,
        "intermediate_size": widths.text_feed_forward,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": MAX_TOKENS,
        "hidden_act": "quick_gelu",
        "projection_dim": widths.text_encoder,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
