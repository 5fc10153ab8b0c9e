"""Components of a model, built from a configuration and filled from safetensors files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    DDPMScheduler,
    Flux2Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen3Config,
    Qwen3Model,
)

from gpu_worker.device import cuda_errors
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.memory.quantized_layers import select_inner_paths
from gpu_worker.memory.streaming import select_blocks
from gpu_worker.models.sources.vae import VaeSource, find_prefix
from gpu_worker.models.sources.weights import NotFiniteWeight, WeightSource, load_weights
from gpu_worker.models.text.clip.tokenizer import MAX_TOKENS

#: How the VAE's attention was called before diffusers 0.18; SD 1.5's own files still say so.
_LEGACY_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_FREQUENCIES = ("inv_freq", "original_inv_freq")
#: Components by their folder's name in a diffusers model.
_BUILDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unet": UNet2DConditionModel.from_config,
    "vae": AutoencoderKL.from_config,
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig.from_dict(config)),
    "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig.from_dict(config)),
}
#: Those that are told by their configuration.
_BUILDERS_BY_CLASS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Flux2Transformer2DModel": Flux2Transformer2DModel.from_config,
    "ZImageTransformer2DModel": ZImageTransformer2DModel.from_config,
    "AutoencoderKLFlux2": AutoencoderKLFlux2.from_config,
    "qwen3": lambda config: Qwen3Model(Qwen3Config.from_dict(config)),
}


def _choose_builder(name: str, config: Mapping[str, Any]) -> Callable[[dict[str, Any]], Any]:
    kinds = (str(config.get(key)) for key in ("_class_name", "model_type"))
    found = next((_BUILDERS_BY_CLASS[kind] for kind in kinds if kind in _BUILDERS_BY_CLASS), None)
    return found or _BUILDERS[name]


@dataclass(frozen=True)
class ComponentSource:
    """What a component is built from."""

    config: Mapping[str, Any]
    weights: WeightSource
    dtype: torch.dtype | None = None  #: None: that of the other components


def build_components(
    sources: Mapping[str, ComponentSource],
    device_config: DeviceConfig,
    public_name: str,
    wide_paths: Sequence[str] = ("vae",),
    block_classes: Sequence[str] = (),
) -> dict[str, Any]:
    """Build components on the meta device, then place their weights; raises BaseModelError.

    `wide_paths` is what the family never rounds, `block_classes` what it streams.
    """
    components = {}
    for name, source in sources.items():
        with torch.device("meta"):
            model = _choose_builder(name, source.config)(dict(source.config))
        try:
            missing_names = load_weights(
                model,
                _rename_legacy_keys(model, source.weights),
                device_config.device,
                source.dtype or device_config.dtype,
                WeightStorage.WHOLE if name in wide_paths else device_config.memory_mode.storage,
                select_inner_paths(wide_paths, name),
                select_blocks(model, block_classes, device_config.memory_mode.streamed_blocks),
            )
        except NotFiniteWeight as error:
            raise BaseModelError(
                JobProblem.BASE_MODEL_NOT_FINITE, name=public_name, part=f"{name}.{error}"
            ) from error
        except RuntimeError as error:  # load_state_dict: a weight has another shape
            if cuda_errors.is_out_of_memory(error) or cuda_errors.is_device_lost(error):
                raise
            raise BaseModelError(JobProblem.BASE_MODEL_OTHER_CONFIG, name=public_name, part=name) from error
        if missing_names:
            raise BaseModelError(
                JobProblem.BASE_MODEL_LACKS_PART, name=public_name, part=f"{name}.{missing_names[0]}"
            )
        fill_buffers(model, device_config.device)
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


def fill_buffers(model: nn.Module, device: torch.device) -> None:
    """Create buffers that no file holds: CLIP's position ids, and Qwen3's frequencies."""
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                if name in _FREQUENCIES:
                    with torch.device(device):
                        rebuilt: Any = type(module)(module.config)
                    module.register_buffer(name, rebuilt.inv_freq, persistent=False)
                    continue
                if name != "position_ids":
                    raise BaseModelError(JobProblem.BASE_MODEL_UNKNOWN_BUFFER, name=name)
                module.register_buffer(
                    name, torch.arange(MAX_TOKENS, device=device).unsqueeze(0), persistent=False
                )


def read_tokenizer(path: Path, folder: str = "tokenizer") -> CLIPTokenizer:
    """Return a tokenizer of a diffusers folder; raises BaseModelError."""
    try:
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
            str(path), subfolder=folder, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise _to_base_model_error(path, error) from error
    return tokenizer


def read_scheduler_config(path: Path) -> dict[str, Any]:
    """Return the scheduler's configuration of a diffusers folder; raises BaseModelError."""
    try:
        return dict(DDPMScheduler.load_config(str(path), subfolder="scheduler", local_files_only=True))
    except (OSError, ValueError) as error:
        raise _to_base_model_error(path, error) from error


def _to_base_model_error(path: Path, error: Exception) -> BaseModelError:
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return BaseModelError(JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=detail)


def select_weight_files(folder: Path, dtype: torch.dtype) -> list[Path]:
    """Choose full or half-precision files where both are there; weights may be in several shards."""
    files = sorted(folder.glob("*.safetensors"))
    half_files = [file for file in files if ".fp16." in file.name]
    full_files = [file for file in files if file not in half_files and ".non_ema" not in file.name]
    chosen_files = (full_files or half_files) if dtype is torch.float32 else (half_files or full_files)
    if not chosen_files:
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_WEIGHTS, name=folder.parent.name, part=folder.name)
    return chosen_files


def select_prefix(prefix: str, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, by the rest of their names."""
    return {key.removeprefix(prefix): view for key, view in views.items() if key.startswith(prefix)}


def read_vae(
    source: VaeSource,
    device_config: DeviceConfig,
    default_config: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> AutoencoderKL:
    """Read a VAE of its own onto the device; raises BaseModelError.

    `default_config` is that of a single file, which has none; `dtype` its precision if it is not the model's.
    """
    config = dict(source.config or default_config)
    try:
        if source.config is not None:
            files = select_weight_files(source.path, dtype or device_config.dtype)
            weights = WeightSource.open_files(files)
        else:
            weights = _rename_vae_file(WeightSource.open_files([source.path]), config)
        component = ComponentSource(config, weights, dtype)
        model: AutoencoderKL = build_components({"vae": component}, device_config, source.name)["vae"]
    except (BaseModelError, KeyError) as error:
        raise BaseModelError(JobProblem.VAE_DAMAGED, name=source.name) from error
    return model


def _rename_vae_file(source: WeightSource, config: dict[str, Any]) -> WeightSource:
    """Return a single file's VAE with diffusers' names, whichever it has."""
    views = select_prefix(find_prefix(source.views()) or "", source.views())
    if any(key.startswith("encoder.down_blocks.") for key in views):
        return source.with_names(views)
    return source.with_names(convert_ldm_vae_checkpoint(dict(views), config))
