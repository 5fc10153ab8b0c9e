"""What a case leaves behind: the contents of its files as hashes, and how two of them differ."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

#: What is compared of a file, by name. Values come from JSON: texts, numbers, or objects of them.
FileContents: TypeAlias = dict[str, Any]
#: The files of a case by their path in its folder.
CaseOutputs: TypeAlias = dict[str, FileContents]

#: Metadata that differ from run to run: times, under the same names inside JSON texts, and the legacy hash.
#: That one is of a fixed stretch of the file, whose contents move with the number of digits of the times.
_UNSTABLE_KEYS = {
    "ss_training_started_at",
    "ss_training_finished_at",
    "modelspec.date",
    "seconds",
    "started_at",
    "sshs_legacy_hash",
}
_MAX_LISTED_FILES = 4
_MAX_VALUE_LENGTH = 80


def read_outputs(folder: Path) -> CaseOutputs:
    """Return the contents of every LoRA, state and picture in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _READERS)
    return {str(path.relative_to(folder)): _READERS[path.suffix](path) for path in paths}


def describe_differences(before: CaseOutputs, after: CaseOutputs) -> str:
    """Return which files of a case differ and in what; an empty text if none does."""
    messages = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after or name not in before:
            messages.append(f"{name} {'is missing' if name in before else 'is new'}")
        elif changes := list_changes(before[name], after[name]):
            messages.append(f"{name}: {', '.join(changes)}")
    listed = messages[:_MAX_LISTED_FILES]
    if len(messages) > _MAX_LISTED_FILES:
        listed.append(f"and {len(messages) - _MAX_LISTED_FILES} more files")
    return "; ".join(listed)


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names under which two files differ, with short values; of tensors only how many do."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old_value, new_value = before.get(name), after.get(name)
        if old_value == new_value:
            continue
        if name == "tensors":
            changes.append(_count_changed_tensors(old_value or {}, new_value or {}))
        elif isinstance(old_value, dict) and isinstance(new_value, dict):
            changes += [f"{name} {change}" for change in list_changes(old_value, new_value)]
        else:
            values = f" was {old_value} and is {new_value}"
            is_short = len(values) < _MAX_VALUE_LENGTH and values.isprintable()
            changes.append(name + (values if is_short else ""))
    return changes


def _count_changed_tensors(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = before.keys() | after.keys()
    changed_count = sum(before.get(name) != after.get(name) for name in names)
    return f"{changed_count} of {len(names)} tensors"


def _read_safetensors(path: Path) -> FileContents:
    """Return dtype, shape and hash of each tensor, and the stable metadata."""
    data = path.read_bytes()
    data_start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:data_start])
    metadata = _drop_unstable(header.pop("__metadata__", {}))
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        digest = hashlib.sha256(data[data_start + begin : data_start + end]).hexdigest()
        tensors[name] = f"{entry['dtype']} {entry['shape']} {digest}"
    return {"tensors": tensors, "metadata": metadata}


def _drop_unstable(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without unstable keys; values that are JSON objects are decoded and treated alike."""
    timeless = {}
    for name, value in metadata.items():
        decoded = None
        if isinstance(value, str) and value.startswith("{"):
            with contextlib.suppress(ValueError):
                decoded = json.loads(value)
        if name not in _UNSTABLE_KEYS:
            timeless[name] = _drop_unstable(decoded) if isinstance(decoded, dict) else value
    return timeless


def _read_image(path: Path) -> FileContents:
    """Return the hash of a picture's pixels, and the texts in its file."""
    with Image.open(path) as image:
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        texts = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
        return {"pixels": f"{image.mode} {image.width}x{image.height} {digest}", "texts": texts}


_READERS: dict[str, Callable[[Path], FileContents]] = {
    ".safetensors": _read_safetensors,
    ".png": _read_image,
    ".jpg": _read_image,
}
