"""A VAE that replaces the base model's own: where its files are, and whether it fits the family.

The worker and `loracode doctor` both ask here, before any weight is read. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models.family import SDXL_ARCHITECTURE, STABLE_DIFFUSION
from gpu_worker.models.sources.download import hash_file
from gpu_worker.models.sources.hub import FileLayout, Hub, ProgressCallback, RemoteFile, has_weights
from gpu_worker.models.sources.names import (
    PICKLE_SUFFIXES,
    find_other_model,
    is_hub_id,
    read_shapes,
    resolve_name,
)

#: What is before the keys in a single file: the original layout's, diffusers' pipeline's, or nothing.
_PREFIXES = ("first_stage_model.", "vae.", "")
_CONV_IN = "decoder.conv_in.weight"
_LATENT_CHANNELS, _LEVELS = 4, 4
#: What latents are multiplied by, which no single file says.
SCALING_FACTORS = {STABLE_DIFFUSION: 0.18215, SDXL_ARCHITECTURE: 0.13025}


class VaeWidths(Protocol):
    """The widths of a Stable Diffusion or an SDXL, which have one VAE."""

    @property
    def vae(self) -> tuple[int, int, int, int]:
        """Channels of each level."""

    @property
    def norm_groups(self) -> int:
        """Groups of the normalisation."""

    @property
    def image_px(self) -> int:
        """Side of the pictures."""

    @property
    def scaling_factor(self) -> float:
        """What latents are multiplied by."""


def vae_config(widths: VaeWidths) -> dict[str, Any]:
    """Return the configuration for `AutoencoderKL`: one eighth of the picture's side, 4 channels."""
    return {
        "down_block_types": ("DownEncoderBlock2D",) * _LEVELS,
        "up_block_types": ("UpDecoderBlock2D",) * _LEVELS,
        "block_out_channels": widths.vae,
        "layers_per_block": 2,
        "latent_channels": _LATENT_CHANNELS,
        "norm_num_groups": widths.norm_groups,
        "sample_size": widths.image_px,
        "scaling_factor": widths.scaling_factor,
    }


@dataclass(frozen=True)
class VaeSource:
    """A VAE's files: a diffusers folder with its configuration, or one `.safetensors` file without."""

    name: str  #: as sd-scripts writes it into metadata: a file's or folder's name, or a hub id
    path: Path
    config: dict[str, Any] | None

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of its weights, hexadecimal; the same whichever precision is chosen."""
        if self.config is None:
            return hash_file(self.path)
        files = [path for path in sorted(self.path.glob("*.safetensors")) if ".non_ema" not in path.name]
        full_files = [path for path in files if ".fp16." not in path.name]
        hashes = "".join(hash_file(path) for path in full_files or files)
        return hashlib.sha256(hashes.encode()).hexdigest()

    def describe(self) -> dict[str, object]:
        """Return the metadata that sd-scripts writes for `--vae`; only a file has hashes."""
        if self.config is not None:
            return {"ss_vae_name": self.name}
        with self.path.open("rb") as file:
            file.seek(0x100000)  # the first kind of hash that AUTOMATIC1111 had
            old_hash = hashlib.sha256(file.read(0x10000)).hexdigest()[:8]
        return {"ss_vae_name": self.name, "ss_vae_hash": old_hash, "ss_new_vae_hash": self.sha256}


def find_vae(
    name: str,
    hub: Hub | None = None,
    on_progress: ProgressCallback = lambda _: None,
    model: str = STABLE_DIFFUSION,
) -> VaeSource:
    """Return the VAE of a folder, a file or a hub id; raises BaseModelError if it does not fit the model.

    `on_progress` is called with the progress of a download.
    """
    if local_source := find_local_vae(name, model):
        return local_source
    name = resolve_name(name)
    return _find_in_folder((hub or create_hub()).get_folder(name, False, on_progress), name, model)


def find_local_vae(name: str, model: str = STABLE_DIFFUSION) -> VaeSource | None:
    """Return the VAE of a folder or a file; None for a hub id. Raises BaseModelError."""
    name = resolve_name(name)
    path = Path(name)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BaseModelError(JobProblem.VAE_PICKLE, name=path.name)
    if path.is_dir():
        return _find_in_folder(path, path.resolve().name, model)
    if path.suffix.lower() == ".safetensors" and path.is_file():
        _check_file(path, model)
        return VaeSource(path.name, path, None)
    if path.suffix.lower() == ".safetensors" or not is_hub_id(name):
        raise BaseModelError(JobProblem.VAE_MISSING, name=path.name)
    return None


def create_hub(timeout_s: float = 30.0) -> Hub:
    """Return the hub for VAEs, each in a repository of its own or in a whole model's."""
    return Hub(timeout_s=timeout_s, layout=FileLayout(_select_files, _is_complete))


def find_prefix(keys: Collection[str]) -> str | None:
    """Return what is before the VAE's keys in a single file; None if it has no VAE."""
    return next((prefix for prefix in _PREFIXES if prefix + _CONV_IN in keys), None)


def _find_in_folder(folder: Path, name: str, model: str) -> VaeSource:
    part = next((each for each in (folder, folder / "vae") if has_weights(each)), None)
    if part is None:
        raise BaseModelError(JobProblem.VAE_NONE, name=name)
    try:
        config = json.loads((part / "config.json").read_text("utf-8"))
        if config.get("_class_name", "AutoencoderKL") != "AutoencoderKL":
            raise BaseModelError(JobProblem.VAE_NONE, name=name)
        _check_shape(
            name,
            channels=config.get("latent_channels", _LATENT_CHANNELS),
            levels=len(config["block_out_channels"]),
            scaling_factor=config.get("scaling_factor", SCALING_FACTORS[STABLE_DIFFUSION]),
            wanted=model,
        )
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise BaseModelError(JobProblem.VAE_DAMAGED, name=name) from error
    return VaeSource(name, part, config)


def _check_file(path: Path, wanted: str) -> None:
    try:
        with safe_open(path, framework="numpy"):  # checks the header against the file's length
            shapes = read_shapes(path)
    except (OSError, SafetensorError) as error:
        raise BaseModelError(JobProblem.VAE_DAMAGED, name=path.name) from error
    if (model := find_other_model(shapes)) not in (None, wanted):
        raise BaseModelError(JobProblem.VAE_OTHER_MODEL, name=path.name, model=str(model), wanted=wanted)
    prefix = find_prefix(shapes)
    if prefix is None:
        raise BaseModelError(JobProblem.VAE_NONE, name=path.name)
    level_starts = (f"{prefix}encoder.down.", f"{prefix}encoder.down_blocks.")
    levels = {key.removeprefix(prefix).split(".")[2] for key in shapes if key.startswith(level_starts)}
    _check_shape(path.name, shapes[prefix + _CONV_IN][1], len(levels), SCALING_FACTORS[wanted], wanted)


def _check_shape(name: str, channels: int, levels: int, scaling_factor: float, wanted: str) -> None:
    """Raise BaseModelError for latents that the model's UNet was not trained on."""
    if channels != _LATENT_CHANNELS:
        model = f"{channels} channels, as of Stable Diffusion 3 or FLUX"
    elif levels != _LEVELS:
        model = f"{levels} levels, scaling factor {scaling_factor:g}"
    else:
        known = (title for title, factor in SCALING_FACTORS.items() if abs(scaling_factor - factor) < 1e-4)
        model = next(known, f"{levels} levels, scaling factor {scaling_factor:g}")
    if model != wanted:
        raise BaseModelError(JobProblem.VAE_OTHER_MODEL, name=name, model=model, wanted=wanted)


def _is_complete(folder: Path) -> bool:
    return has_weights(folder) or has_weights(folder / "vae")


def _select_files(files: Iterable[RemoteFile], _prefer_half: bool) -> list[RemoteFile]:
    """Return a VAE's configuration and full weights, or the half ones; empty if there is none."""
    by_name = {file.name: file for file in files}
    for folder in ("", "vae/"):
        for weights in ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16"):
            names = (f"{folder}config.json", f"{folder}{weights}.safetensors")
            if all(name in by_name for name in names):
                return [by_name[name] for name in names]
    return []
