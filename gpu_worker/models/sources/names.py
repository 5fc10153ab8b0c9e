"""What is meant by a base model's name, and what a file's header says. Nothing here needs torch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from gpu_worker.errors import BaseModelError, JobProblem

#: Files that can run code when they are opened.
PICKLE_SUFFIXES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
_HUB_LINK = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+?)/?(?:\?.*)?$")
#: Base models, by keys of their single files; the first that is found counts.
_MODELS = (
    ("SDXL", r"^conditioner\.embedders\.|label_emb|^text_encoder_2\.|add_embedding"),
    ("Stable Diffusion 2", r"^cond_stage_model\.model\."),
    ("Stable Diffusion 3", r"joint_blocks\."),
    ("FLUX", r"(double|single)_blocks\.|single_transformer_blocks\."),
)


def resolve_name(name: str) -> str:
    """Return what is meant by a base model's name; BaseModelError says what to give instead.

    A path in the home folder is expanded, and a link to a model's page on the hub becomes its hub id.
    """
    name = name.strip().strip("\"'")
    if found := _HUB_LINK.match(name):
        return found[1]
    if re.match(r"^https?://", name):
        raise BaseModelError(JobProblem.BASE_MODEL_LINK, name=name)
    if name.startswith("~"):
        return os.path.expanduser(name)  # noqa: PTH111 - an unknown user's home stays as it is
    if os.name != "nt" and (re.match(r"^[A-Za-z]:[\\/]", name) or name.startswith("\\\\")):
        raise BaseModelError(JobProblem.BASE_MODEL_OTHER_SYSTEM, name=name)
    if re.match(r"^[\w.-]+/[\w.-]+(@|:|/tree/|/resolve/)[\w./-]+$", name) and not Path(name).exists():
        model = re.split(r"@|:|/tree/|/resolve/", name)[0]
        raise BaseModelError(JobProblem.BASE_MODEL_REVISION, name=name, model=model)
    return name


def is_hub_id(name: str) -> bool:
    """Return True for a hub id, `owner/name`; a path has more separators, a drive, or a leading dot."""
    return not name.startswith(("/", ".", "~")) and "\\" not in name and name.count("/") == 1


def find_local(name: str) -> Path | None:
    """Return the folder or file that a name means; None for a hub id. Raises BaseModelError."""
    path = Path(name)
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BaseModelError(JobProblem.BASE_MODEL_PICKLE, name=path.name)
    if path.is_dir() or (path.suffix.lower() == ".safetensors" and path.is_file()):
        return path
    if path.suffix.lower() == ".safetensors" or not is_hub_id(name):
        raise BaseModelError(JobProblem.BASE_MODEL_MISSING, name=path.name)
    return None


def read_shapes(path: Path) -> dict[str, Sequence[int]]:
    """Return the shapes of a safetensors file's tensors by name, from its header alone."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: info["shape"] for name, info in header.items() if name != "__metadata__"}


def find_other_model(keys: Collection[str]) -> str | None:
    """Return which base model a file's keys belong to; None if they may be of Stable Diffusion 1.x."""
    return find_pattern(_MODELS, keys)


def read_json(path: Path) -> dict[str, Any]:
    """Return the settings in a file; ValueError if it holds something else."""
    values = json.loads(path.read_text("utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no settings")
    return values


def has_key(pattern: str, keys: Collection[str]) -> bool:
    """Return whether a pattern is found in any key."""
    compiled = re.compile(pattern)
    return any(compiled.search(key) for key in keys)


def find_pattern(patterns: Collection[tuple[str, str]], keys: Collection[str]) -> str | None:
    """Return the name of the first pattern that is found in any key."""
    return next((name for name, pattern in patterns if has_key(pattern, keys)), None)
