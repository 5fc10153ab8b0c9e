"""Reading an SDXL: a diffusers folder, or one `.safetensors` file in sgm's layout or with diffusers' names.

Only safetensors are opened. A single file needs no network: its shape and CLIP's vocabulary are shipped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.sdxl import config, recognition
from gpu_worker.models.sdxl.config import PAD_TOKEN_2, SCHEDULER_CONFIG, SdxlWidths
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.models.sdxl.names import TEXT_ENCODER_2_NAMES, UNET_NAMES
from gpu_worker.models.sources.components import (
    ComponentSource,
    build_components,
    read_scheduler_config,
    read_tokenizer,
    select_prefix,
    select_weight_files,
)
from gpu_worker.models.sources.hub import WEIGHT_FOLDERS_2
from gpu_worker.models.sources.names import read_shapes
from gpu_worker.models.sources.vae import vae_config
from gpu_worker.models.sources.weights import WeightSource
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_TEXT_ENCODER, _TEXT_ENCODER_2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
#: Query, key and value are one matrix in OpenCLIP.
_IN_PROJECTION = "self_attn.in_proj_"


@dataclass(frozen=True, eq=False)
class SdxlComponents:
    """The components of an SDXL."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    tokenizer_2: CLIPTokenizer
    scheduler_config: dict[str, Any]

    @property
    def modules(self) -> dict[str, Any]:
        """The components that have weights, by name."""
        return {name: getattr(self, name) for name in WEIGHT_FOLDERS_2}


def vae_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the precision of the VAE beside a UNet of this one: its activations are beyond fp16's range."""
    return torch.float32 if dtype is torch.float16 else dtype


def read_model(
    path: Path, device_config: DeviceConfig, other_vae: AutoencoderKL | None = None
) -> SdxlComponents:
    """Read a folder or a file onto the device; raises BaseModelError.

    The model's own VAE is neither needed nor read where there is another.
    """
    if path.is_dir():
        return _read_folder(path, device_config, other_vae)
    return read_single_file(path, device_config, other_vae=other_vae)


def _read_folder(path: Path, device_config: DeviceConfig, other_vae: AutoencoderKL | None) -> SdxlComponents:
    configs = recognition.read_folder_configs(path, needs_vae=other_vae is None)
    sources = {}
    for part, part_config in configs.items():
        dtype = vae_dtype(device_config.dtype) if part == "vae" else device_config.dtype
        weights = WeightSource.open_files(select_weight_files(path / part, dtype))
        sources[part] = ComponentSource(part_config, weights, dtype)
    components = build_components(
        sources, device_config, path.name, SDXL.wide_paths, SDXL.memory.block_classes
    )
    return SdxlComponents(
        **{"vae": other_vae, **components},
        tokenizer=read_tokenizer(path),
        tokenizer_2=read_tokenizer(path, "tokenizer_2"),
        scheduler_config=read_scheduler_config(path),
    )


def read_single_file(
    path: Path,
    device_config: DeviceConfig,
    widths: SdxlWidths | None = None,
    other_vae: AutoencoderKL | None = None,
) -> SdxlComponents:
    """Read one file, in sgm's layout or with diffusers' names; widths default to SDXL's."""
    widths = widths or SdxlWidths()
    source = WeightSource.open_files([path])
    recognition.check_file(read_shapes(path), path.name, needs_vae=other_vae is None)
    configs = {
        "unet": config.unet_config(widths),
        "text_encoder": config.text_encoder_config(widths),
        "text_encoder_2": config.text_encoder_2_config(widths),
    }
    if other_vae is None:
        configs["vae"] = vae_config(widths)
    views = source.views()
    try:
        renamed = (
            {part: select_prefix(f"{part}.", views) for part in configs}
            if any(key.startswith("unet.") for key in views)
            else _rename_sgm(views, configs)
        )
    except KeyError as error:  # of diffusers' conversion
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=error.args[0]) from error
    sources = {
        part: ComponentSource(
            configs[part],
            source.with_names(tensors),
            vae_dtype(device_config.dtype) if part == "vae" else device_config.dtype,
        )
        for part, tensors in renamed.items()
    }
    components = build_components(
        sources, device_config, path.name, SDXL.wide_paths, SDXL.memory.block_classes
    )
    scheduler_config = dict(SCHEDULER_CONFIG)
    if "v_pred" in views:  # an empty tensor says so
        scheduler_config |= {"prediction_type": "v_prediction"}
    return SdxlComponents(
        **{"vae": other_vae, **components},
        tokenizer=load_clip_tokenizer(),
        tokenizer_2=load_clip_tokenizer(PAD_TOKEN_2),
        scheduler_config=scheduler_config,
    )


def _rename_sgm(
    views: Mapping[str, Tensor], configs: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Tensor]]:
    """Return each component's tensors in sgm's layout by diffusers' and transformers' names."""
    renamed = {
        "unet": {
            ours: view
            for key, view in select_prefix(_UNET, views).items()
            if (ours := UNET_NAMES.to_ours(key)) is not None
        },
        "text_encoder": select_prefix(_TEXT_ENCODER, views),
        "text_encoder_2": _rename_open_clip(select_prefix(_TEXT_ENCODER_2, views)),
    }
    if "vae" in configs:
        vae_views = {key: view for key, view in views.items() if key.startswith(_VAE)}
        renamed["vae"] = convert_ldm_vae_checkpoint(vae_views, configs["vae"])
    return renamed


def _rename_open_clip(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return OpenCLIP's tensors by transformers' names."""
    renamed: dict[str, Tensor] = {}
    for key, view in views.items():
        name = TEXT_ENCODER_2_NAMES.to_ours(key)
        if name is None:
            continue
        if _IN_PROJECTION in name:
            layer, _, kind = name.partition(_IN_PROJECTION)
            for projection, part in zip(("q_proj", "k_proj", "v_proj"), view.chunk(3), strict=True):
                renamed[f"{layer}self_attn.{projection}.{kind}"] = part
        else:
            renamed[name] = view.t() if name == "text_projection.weight" else view
    return renamed
