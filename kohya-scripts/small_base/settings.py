"""Every number of the small base model's training, in one place."""

from __future__ import annotations

from dataclasses import dataclass

import drawn


@dataclass(frozen=True)
class SmallBaseSettings:
    """The settings that made the shipped weights; `kohya-scripts/train_small_base.py` reads nothing else."""

    seed: int = 20
    image_px: int = 64
    # People and scenes 0 .. drawings-1 are for training; measurements use seeds from `unseen_seed` on.
    num_drawings: int = 32_000
    unseen_seed: int = drawn.UNSEEN_SEED

    # Tokenizer: bytes plus merges learnt from captions, so that a caption word is one or two tokens.
    num_merges: int = 260

    # VAE: f4, so 64 px become 16x16 latents of 4 channels.
    vae_widths: tuple[int, ...] = (24, 48, 96)
    vae_steps: int = 1_700
    vae_batch_size: int = 16
    vae_lr: float = 1.5e-3
    vae_kl_weight: float = 1e-4
    vae_edge_weight: float = 1.0  # weight of the L1 between neighbouring pixels' differences: crisp edges

    # UNet and text encoder, trained together on the cached latents.
    unet_widths: tuple[int, ...] = (80, 144, 176)
    text_width: int = 112
    text_layers: int = 2
    unet_steps: int = 3_200
    unet_batch_size: int = 32
    unet_lr: float = 8e-4
    lr_warmup_steps: int = 100
    lr_decay_share: float = 0.3  # the rate falls to zero over this last share of the steps
    ema_decay: float = 0.997
    min_snr_gamma: float = 5.0
    # From this step on very noisy drawings count more, as if their SNR were at least this: what a caption
    # says is settled there, and the first steps showed that words other than places were learnt too slowly.
    snr_floor: float = 0.25
    snr_floor_from_step: int = 1_180
    caption_dropout_rate: float = 0.1

    max_grad_norm: float = 1.0
    checkpoint_every_s: float = 90.0
    log_every_steps: int = 20
