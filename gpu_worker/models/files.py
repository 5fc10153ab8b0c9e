"""Where a base model's files are, found out without loading them: for `loracode doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

from gpu_worker.errors import BaseModelError
from gpu_worker.models.hub import FOLDERS, SD15, Hub, is_id, is_whole

SHIPPED = ("tiny", "drawn")

Look = tuple[Literal["ok", "warn", "bad"], str, str]


def usual(has_card: bool) -> str:
    """Name the base model that is taken where none is set."""
    return SD15 if has_card else "drawn"


def look(name: str, hub: Hub | None = None) -> Look:
    """Give verdict, what is there, and what to do."""
    path = Path(name)
    if name in SHIPPED:
        return "ok", f"{name}, comes with LoraCode", ""
    if path.suffix.lower() == ".safetensors":
        return _look_at_file(path)
    if path.is_dir():
        return _look_at_folder(path)
    if not is_id(name):
        return (
            "bad",
            f"{name} does not exist",
            "Set BASE_MODEL to one that does, or to a hub id.",
        )
    return _look_at_hub(name, hub or Hub(timeout_s=5.0))


def _look_at_file(path: Path) -> Look:
    try:
        with safe_open(path, framework="numpy") as file:
            count = len(file.keys())
    except (OSError, SafetensorError) as error:
        return "bad", f"{path.name} cannot be read ({error})", "Download the file again, or check BASE_MODEL."
    return "ok", f"{path.name}, {count} tensors, {path.stat().st_size / 2**30:.1f} GB", ""


def _look_at_folder(path: Path) -> Look:
    if not is_whole(path):
        advice = f"A diffusers folder has {', '.join(FOLDERS)} with safetensors in them."
        return "bad", f"{path.name} is no whole diffusers model", advice
    return "ok", f"the folder {path.name}", ""


def _look_at_hub(name: str, hub: Hub) -> Look:
    if hub.cached(name) is not None:
        return "ok", f"{name}, downloaded", ""
    try:
        _, files = hub.files(name, half=True)
    except BaseModelError as error:
        return "bad", f"{name} is not here", str(error)
    size_gb = sum(each.size_bytes for each in files) / 2**30
    return "ok", f"{name}, {size_gb:.1f} GB are downloaded at the first start", ""
