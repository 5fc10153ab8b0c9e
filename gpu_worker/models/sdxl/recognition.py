"""What is an SDXL, by names, shapes and configurations, before any weight is read. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.sources.hub import MODEL_FOLDERS_2, WEIGHT_FOLDERS_2
from gpu_worker.models.sources.names import find_other_model, has_key, read_json, read_shapes

_TITLE = "SDXL"
_CHANNELS = 4
_CONV_INS = ("model.diffusion_model.input_blocks.0.0.weight", "unet.conv_in.weight")
_UNET = r"^(model\.diffusion_model|unet)\."
_TEXT_ENCODER = r"^(conditioner\.embedders\.0\.transformer|text_encoder)\."
_TEXT_ENCODER_2 = r"^(conditioner\.embedders\.1\.model|text_encoder_2)\."
#: The refiner reads with the second text encoder alone.
_REFINER_TEXT_ENCODER = r"^conditioner\.embedders\.0\.model\."
_VAE = r"^(first_stage_model|vae)\."


def is_sdxl(path: Path) -> bool:
    """Return whether a folder or a file is an SDXL, whole or not; False if it cannot be read."""
    try:
        if path.is_dir():
            return _is_sdxl_unet(read_json(path / "unet" / "config.json"))
        with safe_open(path, "numpy"):  # checks the header against the file's length
            return find_other_model(read_shapes(path)) == _TITLE
    except (OSError, ValueError, SafetensorError):
        return False


def check_file(shapes: Mapping[str, Sequence[int]], name: str, needs_vae: bool = True) -> None:
    """Raise BaseModelError if a single file is not a whole SDXL, with what it lacks."""
    if has_key(_REFINER_TEXT_ENCODER, shapes):
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model="SDXL refiner")
    conv_in = next((shapes[key] for key in _CONV_INS if key in shapes), None)
    if conv_in is None:
        part = "UNet" if not has_key(_UNET, shapes) else "unet.conv_in"
        raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=name, part=part)
    if conv_in[1] != _CHANNELS:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=name, model="inpainting, pix2pix")
    has_text_encoders = has_key(_TEXT_ENCODER, shapes) and has_key(_TEXT_ENCODER_2, shapes)
    has_vae = has_key(_VAE, shapes)
    if not has_text_encoders and not has_vae:
        raise BaseModelError(JobProblem.BASE_MODEL_UNET_ONLY, name=name)
    if not has_text_encoders:
        raise BaseModelError(JobProblem.BASE_MODEL_NO_TEXT_ENCODER, name=name)
    if needs_vae and not has_vae:
        raise BaseModelError(JobProblem.BASE_MODEL_NO_VAE, name=name)


def read_folder_configs(path: Path, needs_vae: bool = True) -> dict[str, dict[str, Any]]:
    """Return the configurations of a folder's parts that have weights.

    Raises BaseModelError if it is not a whole SDXL.
    """
    for part in MODEL_FOLDERS_2:
        if not (path / part).is_dir() and (needs_vae or part != "vae"):
            if part == "vae":
                raise BaseModelError(JobProblem.BASE_MODEL_NO_VAE, name=path.name)
            raise BaseModelError(JobProblem.BASE_MODEL_LACKS_PART, name=path.name, part=part)
    parts = [part for part in WEIGHT_FOLDERS_2 if needs_vae or part != "vae"]
    try:
        configs = {part: read_json(path / part / "config.json") for part in parts}
    except (OSError, ValueError) as error:
        raise BaseModelError(JobProblem.BASE_MODEL_UNREADABLE, name=path.name, detail=str(error)) from error
    if configs["unet"].get("in_channels", _CHANNELS) != _CHANNELS:
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_MODEL, name=path.name, model="inpainting, pix2pix")
    return configs


def _is_sdxl_unet(config: Mapping[str, Any]) -> bool:
    return config.get("addition_embed_type") == "text_time"
