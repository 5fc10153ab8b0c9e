"""What is a transformer with flow matching, by its folder's configurations. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN, KLEIN_BASE
from gpu_worker.models.flow.z_image.family import Z_IMAGE, Z_IMAGE_BASE
from gpu_worker.models.sources.hub import MODEL_INDEX, TRANSFORMER_FOLDERS, TRANSFORMER_WEIGHTS
from gpu_worker.models.sources.names import read_json, read_shapes

#: The files that tell, by what they are about.
CONFIG_FILES = {
    "index": MODEL_INDEX,
    "transformer": "transformer/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}
#: Weights of single files by which they are known: FLUX.2's and Z-Image's.
_FILE_MARKS = (
    {"img_in.weight", "double_stream_modulation_img.lin.weight"},
    {"cap_embedder.1.weight", "layers.0.attention.qkv.weight"},
)
#: Z-Image-Turbo's; the undistilled model has another.
_TURBO_SHIFT = 3.0
#: Blocks of klein 4B; larger ones have more.
_KLEIN_SHAPE = {"num_layers": 5, "num_single_layers": 20}


def recognise_config(configs: Mapping[str, Mapping[str, Any]], name: str) -> ModelFamily:
    """Return the family of a model by its configurations; raises BaseModelError for one that is not read."""
    transformer = configs["transformer"]
    match transformer.get("_class_name"):
        case "Flux2Transformer2DModel":
            if any(transformer.get(key) != value for key, value in _KLEIN_SHAPE.items()):
                raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model="another FLUX.2")
            return KLEIN if configs["index"].get("is_distilled") else KLEIN_BASE
        case "ZImageTransformer2DModel":
            return Z_IMAGE if configs["scheduler"].get("shift") == _TURBO_SHIFT else Z_IMAGE_BASE
    model = str(transformer.get("_class_name", "unknown")).removesuffix("Transformer2DModel")
    raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model=model)


def is_transformer_folder(path: Path) -> bool:
    """Return whether a folder is a diffusers model with a transformer, whole or not."""
    return (path / "transformer" / "config.json").is_file()


def recognise_folder(path: Path) -> ModelFamily:
    """Return the family of a folder; raises BaseModelError."""
    try:
        configs = {
            about: read_json(path / file) if (path / file).is_file() else {}
            for about, file in CONFIG_FILES.items()
        }
    except (OSError, ValueError) as error:
        raise BaseModelError(JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=str(error)) from error
    return recognise_config(configs, path.name)


def remove_file_prefix(name: str) -> str:
    """Return a weight's name in a single file without what some begin with."""
    return name.removeprefix("model.").removeprefix("diffusion_model.")


def is_transformer_file(path: Path) -> bool:
    """Return whether a single file is a transformer of these families without the rest.

    False for a file that cannot be read: what loads it says why.
    """
    try:
        with safe_open(path, "numpy"):  # checks the header against the file's length
            names = {remove_file_prefix(name) for name in read_shapes(path)}
    except (OSError, ValueError, SafetensorError):
        return False
    return any(mark <= names for mark in _FILE_MARKS)


def read_folder_config(path: Path, part: str) -> dict[str, Any]:
    """Return the configuration of a part; raises BaseModelError."""
    try:
        return read_json(path / part / "config.json")
    except FileNotFoundError as error:
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=part) from error
    except (OSError, ValueError) as error:
        raise BaseModelError(JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=str(error)) from error


def read_folder_configs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the configurations of all parts that have weights; raises BaseModelError if one is missing."""
    for part in TRANSFORMER_FOLDERS:
        if not (path / part).is_dir():
            raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=part)
    return {part: read_folder_config(path, part) for part in TRANSFORMER_WEIGHTS}
