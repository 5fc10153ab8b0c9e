"""A LoRA that lets a base model draw in few steps: where its file is, its recipe, its licence.

It belongs to the base model and to no person. The worker and `loracode doctor` both ask here, before any
weight is read. Nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError
from gpu_worker.models.family import SDXL_ARCHITECTURE, STABLE_DIFFUSION, ModelFamily
from gpu_worker.models.sources.acceleration_recipes import (
    LCM,
    LICENCES,
    PUBLISHED,
    RECIPES_BY_FILE,
    SHORT_NAMES,
    USUAL_FILE,
    AccelerationSetting,
    SamplingRecipe,
    is_non_commercial,
    parse_recipe,
)
from gpu_worker.models.sources.hub import FileLayout, Hub, ProgressCallback, RemoteFile
from gpu_worker.models.sources.names import PICKLE_SUFFIXES, read_shapes

_README = "README.md"
_LICENCE = re.compile(r"^license:\s*[\"']?([\w.+-]+)", re.MULTILINE)
_TEXT_ATTENTION = re.compile(r"attn2[._](?:processor\.)?to_[kv][._].*(?:down|lora_A)\b.*weight$")
#: Width of the text that a UNet attends to.
_ARCHITECTURES = {768: STABLE_DIFFUSION, 1024: "Stable Diffusion 2", 2048: SDXL_ARCHITECTURE}


class AccelerationError(BaseModelError):
    """An acceleration LoRA cannot be used; its text is one sentence, and pictures go on without it."""


@dataclass(frozen=True)
class AccelerationSource:
    """An acceleration LoRA whose file is here."""

    name: str  #: as pictures name it
    path: Path
    recipe: SamplingRecipe
    licence: str  #: empty: its author does not say


@dataclass(frozen=True)
class _Wanted:
    """What a setting means: a file that is here, or one on the hub."""

    repository: str
    file: str  #: a path, or a name in the repository; empty: its only one
    recipe: SamplingRecipe


def find_acceleration(
    setting: AccelerationSetting,
    family: ModelFamily,
    hub: Hub | None = None,
    on_progress: ProgressCallback = lambda _: None,
) -> AccelerationSource:
    """Return the LoRA that a setting names, downloaded if need be; AccelerationError if it is not usable."""
    _check_family(family)
    wanted = _resolve(setting, family)
    _check_licence(LICENCES.get(wanted.repository, ""), setting)  # before anything is downloaded
    if not wanted.repository:
        path = Path(wanted.file)
        licence = _read_metadata(path).get("modelspec.license", "")
    else:
        hub = hub or create_hub(wanted.file)
        try:
            folder = hub.get_folder(wanted.repository, False, on_progress)
        except AccelerationError:
            raise
        except BaseModelError as error:
            raise AccelerationError(f"{wanted.repository} is not usable: {error}") from error
        path = _find_file(folder, wanted.file)
        licence = _read_card_licence(folder) or LICENCES.get(wanted.repository, "")
    _check_licence(licence, setting)
    _check_architecture(path, family)
    name = Path(wanted.repository).name if path.name == USUAL_FILE and wanted.repository else path.stem
    return AccelerationSource(name, path, wanted.recipe, licence)


def inspect_acceleration(
    setting: AccelerationSetting, family: ModelFamily, hub: Hub | None = None
) -> tuple[str, str]:
    """Return what would be used, and its licence; nothing is downloaded. Raises AccelerationError."""
    _check_family(family)
    wanted = _resolve(setting, family)
    hub = hub or create_hub(wanted.file, timeout_s=5.0)
    if not wanted.repository or hub.find_cached(wanted.repository) is not None:
        source = find_acceleration(setting, family, hub)
        return f"{source.name}, {source.recipe}", source.licence
    licence = LICENCES.get(wanted.repository, "")
    _check_licence(licence, setting)
    return f"{wanted.repository}, {wanted.recipe}; it is downloaded at the next start", licence


def create_hub(file: str, timeout_s: float = 30.0) -> Hub:
    """Return the hub for one LoRA of a repository, with its card; an empty name is its only LoRA."""
    return Hub(
        timeout_s=timeout_s,
        layout=FileLayout(
            lambda files, _prefer_half: _select_files(files, file),
            lambda folder: _find_file_or_none(folder, file) is not None,
        ),
    )


def _check_family(family: ModelFamily) -> None:
    """Raise AccelerationError for a family that is trained by flow matching: recipes are of diffusion."""
    if family.architecture not in (STABLE_DIFFUSION, SDXL_ARCHITECTURE):
        sampling = family.sampling
        reason = "name its distilled twin in BASE_MODEL, which draws in few"
        if not sampling.has_guidance:
            reason = f"its distilled twin already draws in {sampling.steps}"
        raise AccelerationError(f"{family.title} takes no LoRA for fewer steps: {reason}")


def _resolve(setting: AccelerationSetting, family: ModelFamily) -> _Wanted:
    name = setting.name.strip()
    try:
        own_recipe = parse_recipe(setting.recipe) if setting.recipe else None
    except ValueError as error:
        raise AccelerationError(f"its recipe cannot be read: {error}") from error
    if name.lower() in SHORT_NAMES:
        published = PUBLISHED.get((name.lower(), family.name))
        if published is None:
            raise AccelerationError(f"there is no {name} for {family.title}")
        return _Wanted(published.repository, published.file, own_recipe or published.recipe)
    path = Path(name).expanduser()
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise AccelerationError(f"{path.name} is a pickle, which can run code; use a .safetensors file")
    repository, file = ("", str(path)) if path.is_file() else _split_hub_id(name)
    known = (recipe for pattern, recipe in RECIPES_BY_FILE if pattern.match(Path(file).name.lower()))
    return _Wanted(repository, file, own_recipe or next(known, LCM))


def _split_hub_id(name: str) -> tuple[str, str]:
    """Return repository and file of `owner/name` or `owner/name/file.safetensors`."""
    parts = name.split("/")
    is_file = name.lower().endswith(".safetensors")
    if len(parts) < 2 or not all(parts) or name[0] in ".~" or (len(parts) > 2) != is_file:
        raise AccelerationError(f"{name} is neither a .safetensors file that is here nor a hub id")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _check_licence(licence: str, setting: AccelerationSetting) -> None:
    if is_non_commercial(licence) and not setting.allows_non_commercial:
        raise AccelerationError(
            f"{setting.name} is under {licence}, which forbids commercial use;"
            " ACCELERATE_NON_COMMERCIAL=on says that this is fine here"
        )


def _check_architecture(path: Path, family: ModelFamily) -> None:
    """Raise AccelerationError for a damaged file, and for one of another kind of base model."""
    try:
        with safe_open(path, framework="numpy"):  # checks the header against the file's length
            shapes = read_shapes(path)
    except (OSError, SafetensorError) as error:
        raise AccelerationError(f"{path.name} is damaged or no safetensors file") from error
    if not any("lora" in key for key in shapes):
        raise AccelerationError(f"{path.name} is not a LoRA")
    widths = (shape[1] for key, shape in shapes.items() if len(shape) > 1 and _TEXT_ATTENTION.search(key))
    made_for = _ARCHITECTURES.get(next(widths, 0))
    if made_for not in (None, family.architecture):
        raise AccelerationError(f"{path.name} is made for {made_for}; one for {family.title} is needed")


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise AccelerationError(f"{path.name} is damaged or no safetensors file") from error


def _read_card_licence(folder: Path) -> str:
    readme = folder / _README
    found = _LICENCE.search(readme.read_text("utf-8", "replace")) if readme.is_file() else None
    return found[1] if found else ""


def _find_file(folder: Path, file: str) -> Path:
    path = _find_file_or_none(folder, file)
    if path is None:
        raise AccelerationError(f"{folder.name} has no {file or 'LoRA'}")
    return path


def _find_file_or_none(folder: Path, file: str) -> Path | None:
    if file:
        return folder / file if (folder / file).is_file() else None
    files = sorted(folder.glob("*.safetensors"))
    return next((path for path in files if path.name == USUAL_FILE), files[0] if len(files) == 1 else None)


def _select_files(files: Iterable[RemoteFile], file: str) -> list[RemoteFile]:
    """Return a repository's card and the LoRA; AccelerationError if which one is meant is open."""
    by_name = {each.name: each for each in files}
    if not file:
        loras = [name for name in by_name if name.endswith(".safetensors") and "/" not in name]
        usual = [name for name in loras if name == USUAL_FILE] or loras
        if len(usual) != 1:
            raise AccelerationError("the repository has several LoRAs; name one: owner/name/file.safetensors")
        file = usual[0]
    return [by_name[name] for name in (_README, file) if name in by_name] if file in by_name else []
