"""Stable Diffusion's four parts with small widths."""

from __future__ import annotations

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from small_base.settings import SmallBaseSettings


def build_vae(settings: SmallBaseSettings) -> AutoencoderKL:
    """Return an untrained VAE: each level but the last halves the picture."""
    levels = len(settings.vae_widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.vae_widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=settings.image_px,
    )


def build_unet(settings: SmallBaseSettings) -> UNet2DConditionModel:
    """Return an untrained UNet: like SD 1.5, text reaches every level but the deepest."""
    return UNet2DConditionModel(
        sample_size=settings.image_px // 4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=settings.unet_widths,
        layers_per_block=1,
        cross_attention_dim=settings.text_width,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(settings: SmallBaseSettings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return an untrained CLIP text encoder for the tokenizer's vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.text_width,
            intermediate_size=settings.text_width * 4,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
