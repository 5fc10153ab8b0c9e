"""Reading a Stable Diffusion 1.x model: a diffusers folder, one `.safetensors` file, or a hub id.

Only safetensors are opened. A single file needs no network: its shape and CLIP's vocabulary are shipped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.clip.tokenizer import MAX_TOKENS, load_clip_tokenizer
from gpu_worker.models.sd15 import recognition, vae
from gpu_worker.models.sd15.config import (
    SCHEDULER_CONFIG,
    Widths,
    text_encoder_config,
    unet_config,
    vae_config,
)
from gpu_worker.models.sd15.vae import VaeSource
from gpu_worker.models.sources.hub import WEIGHT_FOLDERS, Hub, ProgressCallback, is_hub_id
from gpu_worker.models.sources.weights import NotFiniteWeight, WeightSource, load_weights

_LDM_TEXT_ENCODER = "cond_stage_model.transformer."
#: How the VAE's attention was called before diffusers 0.18; SD 1.5's own files still say so.
_LEGACY_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


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


def check_source(name: str) -> None:
    """Raise BaseModelError for a pickle, and for a path where nothing is."""
    path = Path(name)
    if path.suffix.lower() in recognition.PICKLE_SUFFIXES:
        raise BaseModelError(JobProblem.BASE_MODEL_PICKLE, name=path.name)
    is_single_file = path.suffix.lower() == ".safetensors"
    is_found = path.is_dir() or (path.is_file() if is_single_file else is_hub_id(name))
    if not is_found:
        raise BaseModelError(JobProblem.BASE_MODEL_MISSING, name=path.name)


def read_model(
    name: str,
    device_config: DeviceConfig,
    on_progress: ProgressCallback,
    other_vae: AutoencoderKL | None = None,
) -> ModelComponents:
    """Read a folder, a file or a hub id onto the device; raises BaseModelError.

    `on_progress` is called with the progress of a download. The model's own VAE is neither needed nor read
    where there is another.
    """
    path = Path(name)
    if path.is_dir():
        return _read_folder(path, device_config, other_vae)
    if path.suffix.lower() == ".safetensors":
        return read_single_file(path, device_config, other_vae=other_vae)
    # Half-precision files are half the download; not every model has them.
    prefer_half = device_config.dtype is not torch.float32
    return _read_folder(Hub().get_folder(name, prefer_half, on_progress), device_config, other_vae)


def read_single_file(
    path: Path,
    device_config: DeviceConfig,
    widths: Widths | None = None,
    other_vae: AutoencoderKL | None = None,
) -> ModelComponents:
    """Read one file, in the original (LDM) layout or with diffusers' names; widths default to SD 1.5's."""
    widths = widths or Widths()
    source = WeightSource.open_files([path])
    shapes = recognition.read_shapes(path)
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
    sources = {part: (configs[part], source.with_names(tensors)) for part, tensors in renamed.items()}
    components = _build_components(sources, device_config, path.name)
    return ModelComponents(
        **{"vae": other_vae, **components},
        tokenizer=load_clip_tokenizer(),
        scheduler_config=SCHEDULER_CONFIG,
    )


def read_vae(source: VaeSource, device_config: DeviceConfig, widths: Widths | None = None) -> AutoencoderKL:
    """Read a VAE of its own onto the device; raises BaseModelError."""
    config = source.config or vae_config(widths or Widths())
    try:
        if source.config is not None:
            weights = WeightSource.open_files(_select_weight_files(source.path, device_config.dtype))
        else:
            weights = _rename_vae_file(WeightSource.open_files([source.path]), config)
        model: AutoencoderKL = _build_components({"vae": (config, weights)}, device_config, source.name)[
            "vae"
        ]
    except (BaseModelError, KeyError) as error:
        raise BaseModelError(JobProblem.VAE_DAMAGED, name=source.name) from error
    return model


def _rename_vae_file(source: WeightSource, config: dict[str, Any]) -> WeightSource:
    """Return a single file's VAE with diffusers' names, whichever it has."""
    views = _select_prefix(vae.find_prefix(source.views()) or "", source.views())
    if any(key.startswith("encoder.down_blocks.") for key in views):
        return source.with_names(views)
    return source.with_names(_LdmNames().vae(views, config))


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
        return _select_prefix(_LDM_TEXT_ENCODER, views)


class _DiffusersNames:
    """diffusers' names with the component's name in front."""

    def unet(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the UNet's tensors."""
        return _select_prefix("unet.", views)

    def vae(self, views: dict[str, Tensor], _config: dict[str, Any]) -> dict[str, Tensor]:
        """Return the VAE's tensors."""
        return _select_prefix("vae.", views)

    def text_encoder(self, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the text encoder's tensors."""
        return _select_prefix("text_encoder.", views)


def _select_prefix(prefix: str, views: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): view for key, view in views.items() if key.startswith(prefix)}


def _build_components(
    sources: dict[str, tuple[dict[str, Any], WeightSource]], device_config: DeviceConfig, public_name: str
) -> dict[str, Any]:
    """Build components on the meta device, then place their weights."""
    builders: dict[str, Callable[[dict[str, Any]], Any]] = {
        "unet": UNet2DConditionModel.from_config,
        "vae": AutoencoderKL.from_config,
        "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    }
    components = {}
    for name, (config, source) in sources.items():
        with torch.device("meta"):
            model = builders[name](config)
        try:
            missing_names = load_weights(
                model, _rename_legacy_keys(model, source), device_config.device, device_config.dtype
            )
        except NotFiniteWeight as error:
            raise BaseModelError(
                JobProblem.BASE_MODEL_NOT_FINITE, name=public_name, part=f"{name}.{error}"
            ) from error
        except RuntimeError as error:  # load_state_dict: a weight has another shape
            raise BaseModelError(JobProblem.BASE_MODEL_OTHER_CONFIG, name=public_name, part=name) from error
        if missing_names:
            raise BaseModelError(
                JobProblem.BASE_MODEL_LACKS_PART, name=public_name, part=f"{name}.{missing_names[0]}"
            )
        _fill_buffers(model, device_config.device)
        components[name] = model
    return components


def _rename_legacy_keys(model: nn.Module, source: WeightSource) -> WeightSource:
    """Rename tensors of older versions to the installed libraries' names."""
    expected_names = set(model.state_dict())
    return source.with_names(
        {
            _find_current_name(name, expected_names): view
            for name, view in source.views().items()
            if "position_ids" not in name
        }
    )


def _find_current_name(name: str, expected_names: Iterable[str]) -> str:
    if name in expected_names:
        return name
    *path, module, weight_kind = name.split(".")
    candidates = [name.removeprefix("text_model."), f"text_model.{name}"]
    if module in _LEGACY_ATTENTION:
        candidates.append(".".join([*path, _LEGACY_ATTENTION[module], weight_kind]))
    return next((candidate for candidate in candidates if candidate in expected_names), name)


def _fill_buffers(model: nn.Module, device: torch.device) -> None:
    """Create buffers that no file holds: CLIP's position ids."""
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name != "position_ids":
                    raise BaseModelError(JobProblem.BASE_MODEL_UNKNOWN_BUFFER, name=name)
                module.register_buffer(
                    name, torch.arange(MAX_TOKENS, device=device).unsqueeze(0), persistent=False
                )


def _read_folder(path: Path, device_config: DeviceConfig, other_vae: AutoencoderKL | None) -> ModelComponents:
    configs = recognition.read_folder_configs(path, needs_vae=other_vae is None)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(path), subfolder="tokenizer", local_files_only=True)
        scheduler_config = dict(
            DDPMScheduler.load_config(str(path), subfolder="scheduler", local_files_only=True)
        )
    except (OSError, ValueError) as error:
        raise BaseModelError(
            JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=_get_first_line(error)
        ) from error
    sources = {
        part: (configs[part], WeightSource.open_files(_select_weight_files(path / part, device_config.dtype)))
        for part in WEIGHT_FOLDERS
        if other_vae is None or part != "vae"
    }
    components = _build_components(sources, device_config, path.name)
    return ModelComponents(
        **{"vae": other_vae, **components}, tokenizer=tokenizer, scheduler_config=scheduler_config
    )


def _select_weight_files(folder: Path, dtype: torch.dtype) -> list[Path]:
    """Choose full or half-precision files where both are there; weights may be in several shards."""
    files = sorted(folder.glob("*.safetensors"))
    half_files = [file for file in files if ".fp16." in file.name]
    full_files = [file for file in files if file not in half_files and ".non_ema" not in file.name]
    chosen_files = (full_files or half_files) if dtype is torch.float32 else (half_files or full_files)
    if not chosen_files:
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_WEIGHTS, name=folder.parent.name, part=folder.name)
    return chosen_files


def _get_first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
