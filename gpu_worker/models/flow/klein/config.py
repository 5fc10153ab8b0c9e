"""klein's parts as configurations; only the widths are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Of the text encoder, counted from the embedding, which is 0.
TEXT_LAYERS = (9, 18, 27)
LATENT_CHANNELS = 32
#: What diffusers packs into one token: two by two of the VAE's latents.
PATCH_SIDE = 2

SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "time_shift_type": "exponential",
}


@dataclass(frozen=True)
class KleinWidths:
    """What differs between a full-size and a small klein."""

    head: int = 128
    heads: int = 24
    timestep_channels: int = 256
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)
    norm_groups: int = 32
    text_encoder: int = 2560
    image_px: int = 1024


def transformer_config(widths: KleinWidths) -> dict[str, Any]:
    """Return the configuration for `Flux2Transformer2DModel`."""
    return {
        "patch_size": 1,
        "in_channels": LATENT_CHANNELS * PATCH_SIDE**2,
        "num_layers": 5,
        "num_single_layers": 20,
        "attention_head_dim": widths.head,
        "num_attention_heads": widths.heads,
        "joint_attention_dim": len(TEXT_LAYERS) * widths.text_encoder,
        "timestep_guidance_channels": widths.timestep_channels,
        "mlp_ratio": 3.0,
        "axes_dims_rope": (widths.head // 4,) * 4,
        "rope_theta": 2000,
        "guidance_embeds": False,
    }


def vae_config(widths: KleinWidths) -> dict[str, Any]:
    """Return the configuration for `AutoencoderKLFlux2`."""
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": widths.vae,
        "latent_channels": LATENT_CHANNELS,
        "norm_num_groups": widths.norm_groups,
        "sample_size": widths.image_px,
    }


def compute_mu(tokens: int, steps: int) -> float:
    """Return the logarithm of the shift while drawing, as Black Forest Labs fitted it.

    Between 10 and 200 steps it is linear in them; beyond 4,300 tokens it is that of 200.
    """
    at_200 = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return at_200
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    return at_200 + (at_200 - at_10) / 190 * (steps - 200)
