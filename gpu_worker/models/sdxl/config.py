"""SDXL's parts as configurations; only the widths are open.

The full widths read single-file checkpoints, small ones make the embedded `tiny-xl`, so both are the same
architecture: 722 LoRA targets in the UNet, 72 in the first text encoder and 192 in the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_worker.models.text.clip.tokenizer import MAX_TOKENS, VOCABULARY_SIZE

#: What the second tokenizer fills short prompts with: its first token, as OpenCLIP does.
PAD_TOKEN_2 = "!"  # noqa: S105 - a token of text
#: Numbers that say how large a picture is: height and width of the whole, crop, height and width of the part.
SIZE_NUMBERS = 6

#: Scheduler configuration that SDXL was trained with; every sampler is made from it.
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


@dataclass(frozen=True)
class SdxlWidths:
    """What differs between a full-size and a small SDXL."""

    unet: tuple[int, int, int] = (320, 640, 1280)
    heads: tuple[int, int, int] = (5, 10, 20)
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)
    norm_groups: int = 32
    text_encoder: int = 768
    text_feed_forward: int = 3072
    text_encoder_2: int = 1280
    text_feed_forward_2: int = 5120
    text_heads_2: int = 20
    size_embedding: int = 256  #: of each of the numbers that say how large a picture is
    image_px: int = 1024
    scaling_factor: float = 0.13025


def unet_config(widths: SdxlWidths) -> dict[str, Any]:
    """Return the configuration for `UNet2DConditionModel`."""
    return {
        "sample_size": widths.image_px // 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": widths.unet,
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 2, 10),
        "norm_num_groups": widths.norm_groups,
        "cross_attention_dim": widths.text_encoder + widths.text_encoder_2,
        "attention_head_dim": widths.heads,  # in these configurations it means the number of heads
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": widths.size_embedding,
        "projection_class_embeddings_input_dim": widths.text_encoder_2 + SIZE_NUMBERS * widths.size_embedding,
    }


def text_encoder_config(widths: SdxlWidths) -> dict[str, Any]:
    """Return the configuration of the first text encoder, CLIP ViT-L."""
    return {
        **_text_config(widths.text_encoder, widths.text_feed_forward),
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
    }


def text_encoder_2_config(widths: SdxlWidths) -> dict[str, Any]:
    """Return the configuration of the second text encoder, OpenCLIP ViT-bigG."""
    return {
        **_text_config(widths.text_encoder_2, widths.text_feed_forward_2),
        "num_hidden_layers": 32,
        "num_attention_heads": widths.text_heads_2,
        "hidden_act": "gelu",
    }


def _text_config(width: int, feed_forward: int) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY_SIZE,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "max_position_embeddings": MAX_TOKENS,
        "projection_dim": width,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
