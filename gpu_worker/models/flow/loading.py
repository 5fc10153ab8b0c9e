"""Reading a transformer with flow matching from a diffusers folder, and its distilled twin from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from transformers import AutoTokenizer

from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.family import KLEIN_ARCHITECTURE, Z_IMAGE_ARCHITECTURE, ModelFamily
from gpu_worker.models.flow.klein import config as klein_config
from gpu_worker.models.flow.model import FlowComponents
from gpu_worker.models.flow.recognition import read_folder_config, read_folder_configs
from gpu_worker.models.flow.single_file import read_transformer_file
from gpu_worker.models.flow.z_image import config as z_image_config
from gpu_worker.models.sources.components import ComponentSource, build_components, select_weight_files
from gpu_worker.models.sources.weights import WeightSource

_TEXT_PREFIX = "model."
#: Of twins in one file.
_TWIN_SCHEDULERS = {
    KLEIN_ARCHITECTURE: klein_config.SCHEDULER_CONFIG,
    Z_IMAGE_ARCHITECTURE: z_image_config.SCHEDULER_CONFIG,
}


def read_model(
    path: Path, twin_path: Path | None, family: ModelFamily, device_config: DeviceConfig
) -> FlowComponents:
    """Read a folder onto the device, and of the twin's folder or file its transformer.

    Raises BaseModelError.

    Text encoder and twin stay in system memory until they are used.
    """
    configs = read_folder_configs(path)
    in_memory = replace(device_config, device=torch.device("cpu"))
    parts = _read_parts(path, configs, ("transformer", "vae"), family, device_config)
    parts |= _read_parts(path, configs, ("text_encoder",), family, in_memory)
    if twin_path is not None:
        parts["distilled_transformer"] = _read_twin(twin_path, configs["transformer"], family, in_memory)
    return FlowComponents(**parts, **_read_small_parts(path, twin_path, family))


def _read_twin(
    path: Path, base_config: dict[str, Any], family: ModelFamily, device_config: DeviceConfig
) -> Any:
    """Return a transformer of the base's shape; a file says nothing of its own."""
    if path.is_file():
        sources = {"transformer": ComponentSource(base_config, read_transformer_file(path, family))}
        classes = family.memory.block_classes
        twin = build_components(sources, device_config, path.name, family.wide_paths, classes)
    else:
        configs = {"transformer": read_folder_config(path, "transformer")}
        if _shape(configs["transformer"]) != _shape(base_config):
            raise BaseModelError(JobProblem.BASE_MODEL_OTHER_CONFIG, name=path.name, part="transformer")
        twin = _read_parts(path, configs, ("transformer",), family, device_config)
    return twin["transformer"]


def _read_parts(
    path: Path,
    configs: Mapping[str, dict[str, Any]],
    names: tuple[str, ...],
    family: ModelFamily,
    device_config: DeviceConfig,
) -> dict[str, Any]:
    sources = {}
    for name in names:
        weights = WeightSource.open_files(select_weight_files(path / name, device_config.dtype))
        if name == "text_encoder":  # some are saved with their head, which is not needed
            views = weights.views()
            weights = weights.with_names(
                {key.removeprefix(_TEXT_PREFIX): view for key, view in views.items()}
            )
        sources[name] = ComponentSource(configs[name], weights)
    return build_components(sources, device_config, path.name, family.wide_paths, family.memory.block_classes)


def _read_small_parts(path: Path, twin_path: Path | None, family: ModelFamily) -> dict[str, Any]:
    """Return tokenizer and schedulers; the twin's is that of pictures."""
    twin_folder = None if twin_path is None or twin_path.is_file() else twin_path
    try:
        training_config, picture_config = (
            FlowMatchEulerDiscreteScheduler.load_config(
                str(folder), subfolder="scheduler", local_files_only=True
            )
            for folder in (path, twin_folder or path)
        )
        tokenizer = AutoTokenizer.from_pretrained(str(path), subfolder="tokenizer", local_files_only=True)
    except (OSError, ValueError) as error:
        raise BaseModelError(
            JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=str(error).partition("\n")[0]
        ) from error
    if twin_path is not None and twin_folder is None:
        picture_config = _TWIN_SCHEDULERS[family.architecture]
    return {
        "scheduler_config": dict(picture_config),
        "training_scheduler_config": dict(training_config),
        "tokenizer": tokenizer,
    }


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two transformers must have in common: all but who saved them."""
    return {key: value for key, value in config.items() if not key.startswith("_")}
