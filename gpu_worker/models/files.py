"""Where a base model's files are, found out without loading them: for `loracode doctor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.flow.klein.family import TINY_KLEIN
from gpu_worker.models.flow.pairs import (
    DISTILLED_SAMPLING,
    PAIRS,
    ModelPair,
    count_missing_bytes,
    find_pair,
    make_twin_hub,
)
from gpu_worker.models.flow.recognition import (
    CONFIG_FILES,
    is_transformer_file,
    is_transformer_folder,
    read_folder_configs,
    recognise_config,
    recognise_folder,
)
from gpu_worker.models.flow.z_image.family import TINY_Z_IMAGE
from gpu_worker.models.sd15 import recognition as sd15_recognition
from gpu_worker.models.sd15.family import DRAWN, SD15, TINY
from gpu_worker.models.sdxl import recognition as sdxl_recognition
from gpu_worker.models.sdxl.family import SDXL, TINY_XL
from gpu_worker.models.sources import hub as model_hub
from gpu_worker.models.sources.hub import MODEL_FOLDERS, Hub, is_complete
from gpu_worker.models.sources.names import find_local, is_hub_id, read_shapes, resolve_name
from gpu_worker.models.sources.vae import create_hub, find_local_vae

_SHIPPED = {family.name: family for family in (TINY, DRAWN, TINY_XL, TINY_KLEIN, TINY_Z_IMAGE)}

#: What is known without a file or a hub.
FAMILIES = {
    **_SHIPPED,
    **{family.name: family for family in (SD15, SDXL)},
    **{name: pair.family for name, pair in PAIRS.items() if pair.family is not None},
}

Inspection = tuple[Literal["ok", "warn", "bad"], str, str]


def default_base_model(has_gpu: bool) -> str:
    """Name the base model that is taken where none is set."""
    return model_hub.SD15 if has_gpu else "drawn"


def recognise_family(name: str, hub: Hub | None = None) -> ModelFamily:
    """Return the family of a base model, before anything of it is downloaded; raises BaseModelError.

    What cannot be told apart is Stable Diffusion 1.x; its loader says what is wrong.
    """
    name = resolve_name(name)
    if name in _SHIPPED or not name:
        return _SHIPPED.get(name, SD15)
    if (pair := find_pair(name)) is not None:
        family = pair.family or recognise_family(pair.base, hub)
        return replace(family, sampling=DISTILLED_SAMPLING[family.architecture])
    hub = hub or Hub(timeout_s=5.0)
    if (path := find_local(name) or hub.find_cached(name)) is not None:
        return recognise_path(path)
    _, files = hub.list_files(name, prefer_half=True)
    folders = {file.name.partition("/")[0] for file in files}
    if "transformer" in folders:
        configs = {about: hub.read_config(name, file) for about, file in CONFIG_FILES.items()}
        return recognise_config(configs, name)
    return SDXL if "text_encoder_2" in folders else SD15


def recognise_path(path: Path) -> ModelFamily:
    """Return the family of a folder or a file; raises BaseModelError."""
    if is_transformer_folder(path):
        return recognise_folder(path)
    if path.is_file() and is_transformer_file(path):
        raise BaseModelError(JobProblem.BASE_MODEL_TRANSFORMER_ONLY, name=path.name)
    return SDXL if sdxl_recognition.is_sdxl(path) else SD15


def find_family(name: str) -> ModelFamily | None:
    """Return the family of a base model; None if it cannot be told, for a reason of `inspect_model`."""
    try:
        return recognise_family(name)
    except BaseModelError:
        return None


def find_known_family(name: str, hub: Hub | None = None) -> ModelFamily:
    """Return the family of a base model that can be loaded, and downloaded; raises BaseModelError."""
    name, hub = resolve_name(name), hub or Hub(timeout_s=5.0)
    family = recognise_family(name, hub)
    verdict, detail, _ = _inspect_name(name, hub, needs_vae=False)
    if verdict == "bad":
        raise BaseModelError(detail)
    if name not in _SHIPPED and find_local(name) is None:
        hub.ensure_room(name, hub.count_missing_bytes(name, prefer_half=True))
    return family


def inspect_model(name: str, hub: Hub | None = None, needs_vae: bool = True) -> Inspection:
    """Return verdict, what was found, and what to do."""
    try:
        return _inspect_name(resolve_name(name), hub, needs_vae)
    except BaseModelError as error:
        return "bad", str(error), "Set BASE_MODEL to a Stable Diffusion 1.x, an SDXL, klein-4b or z-image."


def inspect_vae(name: str, base_model: str, hub: Hub | None = None) -> Inspection:
    """Return verdict, what was found, and what to do, for a VAE beside a base model."""
    try:
        if base_model == "drawn":
            raise BaseModelError(JobProblem.BASE_MODEL_KEEPS_VAE, name=base_model)
        if source := find_local_vae(name, recognise_family(base_model).architecture):
            return "ok", source.name, ""
    except BaseModelError as error:
        return "bad", str(error), "Set BASE_VAE to a VAE of the base model's family, or leave it empty."
    return _inspect_hub(resolve_name(name), hub or create_hub(timeout_s=5.0))


def _inspect_name(name: str, hub: Hub | None, needs_vae: bool) -> Inspection:
    path = Path(name)
    if name in _SHIPPED:
        return "ok", f"{name}, comes with LoraCode", ""
    if (pair := find_pair(name)) is not None:
        return _inspect_pair(pair, hub)
    if path.suffix.lower() == ".safetensors":
        return _inspect_file(path, needs_vae)
    if path.is_dir():
        return _inspect_folder(path, needs_vae)
    if not is_hub_id(name):
        return (
            "bad",
            f"{name} does not exist",
            "Set BASE_MODEL to one that does, or to a hub id.",
        )
    return _inspect_hub(name, hub or Hub(timeout_s=5.0))


def _inspect_pair(pair: ModelPair, hub: Hub | None) -> Inspection:
    """Return what is found of both models; the first that is not well counts."""
    hub = hub or Hub(timeout_s=5.0)
    found = [
        _inspect_name(pair.base, hub, needs_vae=True),
        _inspect_twin(pair.twin, make_twin_hub(hub)),
    ]
    if bad := next((each for each in found if each[0] != "ok"), None):
        return bad
    texts = [text for _, text, _ in found]
    missing_bytes = count_missing_bytes(pair, hub)
    if missing_bytes:
        texts.append(f"{missing_bytes / 2**30:.1f} GB in all")
    return "ok", "; ".join(texts), ""


def _inspect_twin(name: str, hub: Hub) -> Inspection:
    path = Path(name)
    if path.is_file() and is_transformer_file(path):
        return "ok", f"{path.name}, {path.stat().st_size / 2**30:.1f} GB", ""
    return _inspect_name(name, hub, needs_vae=True)


def _inspect_file(path: Path, needs_vae: bool) -> Inspection:
    try:
        recognise_path(path)
        with safe_open(path, framework="numpy") as file:
            count = len(file.keys())
        is_xl = sdxl_recognition.is_sdxl(path)
        check_file = sdxl_recognition.check_file if is_xl else sd15_recognition.check_file
        check_file(read_shapes(path), path.name, needs_vae=needs_vae)
    except (OSError, SafetensorError) as error:
        return "bad", f"{path.name} cannot be read ({error})", "Download the file again, or check BASE_MODEL."
    return "ok", f"{path.name}, {count} tensors, {path.stat().st_size / 2**30:.1f} GB", ""


def _inspect_folder(path: Path, needs_vae: bool) -> Inspection:
    if is_transformer_folder(path):
        recognise_folder(path)
        read_folder_configs(path)
        return "ok", f"the folder {path.name}", ""
    if not is_complete(path, needs_vae):
        advice = f"A diffusers folder has {', '.join(MODEL_FOLDERS)} with safetensors in them."
        return "bad", f"{path.name} is no whole diffusers model", advice
    is_xl = sdxl_recognition.is_sdxl(path)
    (sdxl_recognition if is_xl else sd15_recognition).read_folder_configs(path, needs_vae)
    return "ok", f"the folder {path.name}", ""


def _inspect_hub(name: str, hub: Hub) -> Inspection:
    if hub.find_cached(name) is not None:
        return "ok", f"{name}, downloaded", ""
    try:
        _, files = hub.list_files(name, prefer_half=True)
    except BaseModelError as error:
        return "bad", f"{name} is not here", str(error)
    size_gb = sum(file.size_bytes for file in files) / 2**30
    return "ok", f"{name}, {size_gb:.1f} GB are downloaded at the first start", ""
