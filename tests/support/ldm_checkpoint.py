"""Writes a Stable Diffusion model as one dictionary in the original layout, as downloaded files are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
_UNET_ENDS = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)
_VAE_ATTENTION = (
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
)


def to_ldm(components: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return every weight under its name in the original layout."""
    tensors = {}
    for key, value in components["unet"].state_dict().items():
        tensors["model.diffusion_model." + _unet_key(key)] = value
    for key, value in components["vae"].state_dict().items():
        was_convolution = "mid_block.attentions" in key and value.dim() == 2
        tensors["first_stage_model." + _vae_key(key)] = value[:, :, None, None] if was_convolution else value
    for key, value in components["text_encoder"].state_dict().items():
        tensors["cond_stage_model.transformer.text_model." + key.removeprefix("text_model.")] = value
    return {key: value.contiguous() for key, value in tensors.items()}


def _unet_key(key: str) -> str:
    for ours, theirs in _UNET_ENDS:
        if key.startswith(ours + "."):
            return key.replace(ours, theirs, 1)
    block, rest = _unet_block(key)
    if ".resnets." in key:
        for ours, theirs in _RESNET:
            rest = re.sub(rf"^{ours}\.", f"{theirs}.", rest)
    return f"{block}.{rest}"


def _unet_block(key: str) -> tuple[str, str]:
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", key):
        kind, number, rest = found.groups()
        return f"middle_block.{1 if kind == 'attentions' else int(number) * 2}", rest
    found = re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", key)
    assert found is not None, key
    way, block, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    if kind == "downsamplers":
        return f"input_blocks.{3 * (block + 1)}.0", rest.replace("conv", "op", 1)
    if kind == "upsamplers":
        return f"output_blocks.{3 * block + 2}.{1 if block == 0 else 2}", rest
    place = 1 if kind == "attentions" else 0
    side, number = (
        ("input_blocks", 3 * block + layer + 1) if way == "down" else ("output_blocks", 3 * block + layer)
    )
    return f"{side}.{number}.{place}", rest


def _vae_key(key: str) -> str:
    key = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda found: f"up.{3 - int(found[1])}.block.", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
    if "mid_block.attentions.0." in key:
        for ours, theirs in _VAE_ATTENTION:
            key = key.replace(f"attentions.0.{ours}.", f"attentions.0.{theirs}.")
        key = key.replace("mid_block.attentions.0", "mid.attn_1")
    return key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def to_sgm(components: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return every weight of an SDXL under its name in sgm's layout, as Civitai's files have it."""
    tensors = {}
    for key, value in components["unet"].state_dict().items():
        tensors["model.diffusion_model." + _sgm_key(key)] = value
    ldm_vae = to_ldm({"unet": _NOTHING, "vae": components["vae"], "text_encoder": _NOTHING})
    tensors |= ldm_vae
    for key, value in components["text_encoder"].state_dict().items():
        name = "text_model." + key.removeprefix("text_model.")
        tensors[f"conditioner.embedders.0.transformer.{name}"] = value
    for key, value in _to_open_clip(components["text_encoder_2"].state_dict()).items():
        tensors[f"conditioner.embedders.1.model.{key}"] = value
    return {key: value.contiguous() for key, value in tensors.items()}


class _Nothing:
    """A component without weights."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}


_NOTHING = _Nothing()


def _sgm_key(key: str) -> str:
    if found := re.match(r"add_embedding\.linear_(\d)\.(.*)", key):
        return f"label_emb.0.{2 * int(found[1]) - 2}.{found[2]}"
    if found := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.(.*)", key):
        return f"output_blocks.{3 * int(found[1]) + 2}.2.{found[2]}"
    return _unet_key(key)


def _to_open_clip(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for key, value in weights.items():
        key = key.removeprefix("text_model.")
        if found := re.match(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", key):
            layer, kind = found.groups()
            names = [f"encoder.layers.{layer}.self_attn.{each}_proj.{kind}" for each in "qkv"]
            parts = [weights.get(name, weights.get(f"text_model.{name}")) for name in names]
            joined = torch.cat([part for part in parts if part is not None])
            tensors[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = joined
        elif not re.search(r"self_attn\.[kv]_proj", key):
            for ours, theirs in (
                ("encoder.layers.", "transformer.resblocks."),
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
                ("embeddings.token_embedding", "token_embedding"),
                ("embeddings.position_embedding.weight", "positional_embedding"),
                ("final_layer_norm", "ln_final"),
                ("text_projection.weight", "text_projection"),
            ):
                key = key.replace(ours, theirs)
            tensors[key] = value.t() if key == "text_projection" else value
    return tensors
