"""Pairs of models: the undistilled base for training, and its twin for pictures. Torch-free."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.sources.hub import FileLayout, Hub, ProgressCallback, RemoteFile, has_weights
from gpu_worker.models.sources.names import find_local

log = logging.getLogger(__name__)

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


def make_twin_hub(hub: Hub) -> Hub:
    """Return a hub for twins, of which transformer and scheduler alone are downloaded."""
    return replace(hub, layout=FileLayout(_select_files, _is_complete))


def count_missing_bytes(pair: ModelPair, hub: Hub) -> int:
    """Return how much of both models is yet to be downloaded; raises BaseModelError."""
    models = ((hub, pair.base), (make_twin_hub(hub), pair.twin))
    return sum(each.count_missing_bytes(name, True) for each, name in models if find_local(name) is None)


def locate_pair(
    pair: ModelPair, family: ModelFamily, hub: Hub, on_progress: ProgressCallback
) -> tuple[Path, Path]:
    """Return the folders of base and twin; what is not here is downloaded, and before it is said how much.

    Raises BaseModelError, also if there is room for one of them only.
    """
    if missing_bytes := count_missing_bytes(pair, hub):
        size_gb = missing_bytes / 2**30
        log.info("%s, licence %s: %.1f GB are downloaded", family.title, family.licence, size_gb)
        hub.ensure_room(pair.base, missing_bytes)
    base_path = find_local(pair.base) or hub.get_folder(pair.base, True, on_progress)
    return base_path, find_local(pair.twin) or make_twin_hub(hub).get_folder(pair.twin, True, on_progress)


def _select_files(files: Iterable[RemoteFile], _prefer_half: bool) -> list[RemoteFile]:
    needed = [file for file in files if file.name.startswith(("transformer/", "scheduler/"))]
    return needed if any(file.name.endswith(".safetensors") for file in needed) else []


def _is_complete(folder: Path) -> bool:
    has_scheduler = (folder / "scheduler" / "scheduler_config.json").is_file()
    return has_scheduler and has_weights(folder / "transformer")
