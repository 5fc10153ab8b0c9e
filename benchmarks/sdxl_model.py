"""SDXL's true shape with random fp16 weights, as one file in sgm's layout: 6.9 GB, built once."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.sd15_model import check_room, write_random_file, write_tokenizer
from gpu_worker.models.sdxl import config
from gpu_worker.models.sdxl.config import SdxlWidths
from gpu_worker.models.sdxl.names import TEXT_ENCODER_2_NAMES, UNET_NAMES
from gpu_worker.models.sources.vae import vae_config

NEEDED_BYTES = 7 * 10**9
FILE = "sdxl-random.safetensors"
TOKENIZERS = "sdxl-peer-tokenizers"
#: What sd-scripts asks its tokenizer cache for.
_PEER_TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_SEED = 16
_IN_PROJECTION = re.compile(r"self_attn\.([qkv])_proj\.(weight|bias)$")
_VAE_NAMES = (
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets", lambda match: f"up.{3 - int(match[1])}.block"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{3 - int(match[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    ("conv_norm_out", "norm_out"),
    ("conv_shortcut", "nin_shortcut"),
)


def build(bench_dir: Path) -> Path:
    """Return the model's file; it is built where it is not complete. DiskFullError without room for it."""
    path = bench_dir / FILE
    if path.is_file():
        return path
    bench_dir.mkdir(parents=True, exist_ok=True)
    check_room(bench_dir, NEEDED_BYTES)
    for name in _PEER_TOKENIZERS:
        write_tokenizer(bench_dir / TOKENIZERS / name)
    partial = path.with_suffix(".partial")
    write_random_file(dict(list_shapes(SdxlWidths())), partial, np.random.default_rng(_SEED), is_half=True)
    partial.replace(path)
    return path


def list_shapes(widths: SdxlWidths) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield names and shapes of all tensors, as the original code has them."""
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(**config.unet_config(widths))
        vae: Any = AutoencoderKL(**vae_config(widths))
        text_encoder = CLIPTextModel(CLIPTextConfig(**config.text_encoder_config(widths)))
        text_encoder_2 = CLIPTextModelWithProjection(CLIPTextConfig(**config.text_encoder_2_config(widths)))
    for name, tensor in unet.state_dict().items():
        yield f"model.diffusion_model.{UNET_NAMES.to_theirs(name)}", tuple(tensor.shape)
    for name, tensor in vae.state_dict().items():
        # The original's attention has convolutions.
        is_linear = "attentions" in name and tensor.dim() == 2
        shape = (*tensor.shape, 1, 1) if is_linear else tuple(tensor.shape)
        yield f"first_stage_model.{_rename_vae(name)}", shape
    for name, tensor in text_encoder.state_dict().items():
        name = "text_model." + name.removeprefix("text_model.")
        yield f"conditioner.embedders.0.transformer.{name}", tuple(tensor.shape)
    for name, shape in _list_open_clip(text_encoder_2.state_dict()):
        yield f"conditioner.embedders.1.model.{name}", shape


def _rename_vae(name: str) -> str:
    for pattern, replacement in _VAE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _list_open_clip(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield OpenCLIP's tensors, of which query, key and value are one."""
    for name, tensor in weights.items():
        name, shape = name.removeprefix("text_model."), tuple(tensor.shape)
        if match := _IN_PROJECTION.search(name):
            if match[1] != "q":
                continue
            name = name.replace("q_proj.", "in_proj_")
            shape = (3 * shape[0], *shape[1:])
        yield str(TEXT_ENCODER_2_NAMES.to_theirs(name)), shape


if __name__ == "__main__":
    print(json.dumps({"file": str(build(Path(sys.argv[1])))}))
