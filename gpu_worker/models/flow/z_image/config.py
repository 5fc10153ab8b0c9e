"""Z-Image's parts as configurations; only the widths are open. Its text encoder is klein's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Of the text encoder: what goes into its last layer.
TEXT_LAYERS = (-2,)
#: Latents along a side of a token.
PATCH_SIDE = 2

#: As Z-Image-Turbo has it.
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": False,
}
#: As the undistilled model has it.
BASE_SCHEDULER_CONFIG = {**SCHEDULER_CONFIG, "shift": 6.0}


@dataclass(frozen=True)
class ZImageWidths:
    """What differs between a full-size and a small Z-Image."""

    width: int = 3840
    heads: int = 30
    rope: tuple[int, int, int] = (32, 48, 48)
    text_encoder: int = 2560
    vae: tuple[int, int, int, int] = (128, 256, 512, 512)
    norm_groups: int = 32
    image_px: int = 1024


def transformer_config(widths: ZImageWidths) -> dict[str, Any]:
    """Return the configuration for `ZImageTransformer2DModel`."""
    return {
        "in_channels": 16,
        "dim": widths.width,
        "n_layers": 30,
        "n_refiner_layers": 2,
        "n_heads": widths.heads,
        "n_kv_heads": widths.heads,
        "cap_feat_dim": widths.text_encoder,
        "axes_dims": list(widths.rope),
        "axes_lens": [1536, 512, 512],
    }


def vae_config(widths: ZImageWidths) -> dict[str, Any]:
    """Return the configuration for `AutoencoderKL`, which is FLUX.1's."""
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": widths.vae,
        "layers_per_block": 2,
        "latent_channels": 16,
        "norm_num_groups": widths.norm_groups,
        "sample_size": widths.image_px,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
