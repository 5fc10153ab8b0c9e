"""Reading a Stable Diffusion 1.x model: a diffusers folder, one `.safetensors` file, or a hub id.

Only safetensors are opened. A single file needs no network: its shape and CLIP's vocabulary are shipped here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.sd15 import recognition
from gpu_worker.models.sd15.config import (
    SCHEDULER_CONFIG,
    Widths,
    text_encoder_config,
    unet_config,
)
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sources.components import (
    ComponentSource,
    build_components,
    read_scheduler_config,
    read_tokenizer,
    select_prefix,
    select_weight_files,
)
from gpu_worker.models.sources.hub import WEIGHT_FOLDERS
from gpu_worker.models.sources.names import read_shapes
from gpu_worker.models.sources.vae import vae_config
from gpu_worker.models.sources.weights import WeightSource
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer

_LDM_TEXT_ENCODER = "cond_stage_model.transformer."


@dataclass(frozen=True, eq=False)
class ModelComponents:
    """The components of a Stable Diffusion model."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler_config: dict[str, Any]

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The components that have weights."""
        return self.unet, self.vae, self.text_encoder


def read_model(
    path: Path, device_config: DeviceConfig, other_vae: AutoencoderKL | None = None
) -> ModelComponents:
    """Read a folder or a file onto the device; raises BaseModelError.

    The model's own VAE is neither needed nor read where there is another.
    """
    if path.is_dir():
        return _read_folder(path, device_config, other_vae)
    return read_single_file(path, device_config, other_vae=other_vae)


def read_single_file(
    path: Path,
    device_config: DeviceConfig,
    widths: Widths | None = None,
    other_vae: AutoencoderKL | None = None,
) -> ModelComponents:
    """Read one file, in the original (LDM) layout or with diffusers' names; widths default to SD 1.5's."""
    widths = widths or Widths()
    source = WeightSource.open_files([path])
    shapes = read_shapes(path)
    recognition.check_file(shapes, path.name, widths.text_encoder, needs_vae=other_vae is None)
    views = source.views()
    key_names = _DiffusersNames() if any(key.startswith("unet.") for key in views) else _LdmNames()
    configs = {"unet": unet_config(widths), "text_encoder": text_encoder_config(widths)}
    try:
        renamed = {
            "unet": key_names.unet(views, configs["unet"]),
            "text_encoder": key_names.text_encoder(views),
        }
        if other_vae is None:
            configs["vae"] = vae_config(widths)
            renamed["vae"] = key_names.vae(views, configs["vae"])
    except KeyError as error:  # of diffusers' conversion
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=error.args[0]) from error
    sources = {
        part: ComponentSource(configs[part], source.with_names(tensors)) for part, tensors in renamed.items()
    }
    components = build_components(sources, device_config, path.name, SD15.wide_paths)
    return ModelComponents(
        **{"vae": other_vae, **components},
        tokenizer=load_clip_tokenizer(),
        scheduler_config=SCHEDULER_CONFIG,
    )


class _LdmNames:
    """The names of CompVis' original code, which AUTOMATIC1111's checkpoints have."""

    def unet(self, views: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the UNet's tensors by diffusers' names."""
        weights: dict[str, Tensor] = convert_ldm_unet_checkpoint(dict(views), config)
        return weights

    def vae(self, views: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the VAE's tensors by diffusers' names."""
        weights: dict[str, Tensor] = convert_ldm_vae_checkpoint(dict(views), config)
        return weights

    def text_encoder(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the text encoder's tensors by transformers' names."""
        return select_prefix(_LDM_TEXT_ENCODER, views)


class _DiffusersNames:
    """diffusers' names with the component's name in front."""

    def unet(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the UNet's tensors."""
        return select_prefix("unet.", views)

    def vae(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the VAE's tensors."""
        return select_prefix("vae.", views)

    def text_encoder(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the text encoder's tensors."""
        return select_prefix("text_encoder.", views)


def _read_folder(path: Path, device_config: DeviceConfig, other_vae: AutoencoderKL | None) -> ModelComponents:
    configs = recognition.read_folder_configs(path, needs_vae=other_vae is None)
    sources = {
        part: ComponentSource(
            configs[part], WeightSource.open_files(select_weight_files(path / part, device_config.dtype))
        )
        for part in WEIGHT_FOLDERS
        if other_vae is None or part != "vae"
    }
    components = build_components(sources, device_config, path.name, SD15.wide_paths)
    return ModelComponents(
        **{"vae": other_vae, **components},
        tokenizer=read_tokenizer(path),
        scheduler_config=read_scheduler_config(path),
    )
