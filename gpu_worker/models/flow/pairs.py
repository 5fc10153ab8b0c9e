"""Pairs of models: the undistilled base for training, and its twin for pictures. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.sources.hub import FileLayout, Hub, RemoteFile, has_weights

_SEPARATOR = " + "


@dataclass(frozen=True)
class ModelPair:
    """Two models of one shape; the twin's transformer is all that is taken of it."""

    base: str
    twin: str
    family: ModelFamily | None = None  #: None: as the base's folder says


#: How twins draw, by architecture.
DISTILLED_SAMPLING = {family.architecture: family.sampling for family in (KLEIN, Z_IMAGE)}
PAIRS = {
    "klein-4b": ModelPair(
        "black-forest-labs/FLUX.2-klein-base-4B", "black-forest-labs/FLUX.2-klein-4B", KLEIN
    ),
    "z-image": ModelPair("Tongyi-MAI/Z-Image", "Tongyi-MAI/Z-Image-Turbo", Z_IMAGE),
}


def find_pair(name: str) -> ModelPair | None:
    """Return the pair that a base model's name means: a short name, or `base + twin`; None for one model."""
    if name in PAIRS:
        return PAIRS[name]
    base, separator, twin = name.partition(_SEPARATOR)
    return ModelPair(base.strip(), twin.strip()) if separator else None


def create_twin_hub(timeout_s: float = 30.0) -> Hub:
    """Return the hub for twins, of which transformer and scheduler are downloaded."""
    return Hub(timeout_s=timeout_s, layout=FileLayout(_select_files, _is_complete))


def _select_files(files: Iterable[RemoteFile], _prefer_half: bool) -> list[RemoteFile]:
    needed = [file for file in files if file.name.startswith(("transformer/", "scheduler/"))]
    return needed if any(file.name.endswith(".safetensors") for file in needed) else []


def _is_complete(folder: Path) -> bool:
    has_scheduler = (folder / "scheduler" / "scheduler_config.json").is_file()
    return has_scheduler and has_weights(folder / "transformer")
