"""Splits a LoRA file into smaller LoRA files, for platforms that take no large ones. Pure.

Each part holds some of the modules, whole, so that loading all parts at the same strength is the LoRA itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_ALIGNMENT_BYTES = 8
#: Hashes are of the whole file, so a part must not claim them.
_OF_THE_WHOLE = "sshs_"


def split(data: bytes, max_bytes: int) -> list[bytes]:
    """Give the file in parts of at most `max_bytes`; itself alone if it fits. ValueError when none can."""
    if len(data) <= max_bytes:
        return [data]
    header, begin = _read_header(data)
    metadata = header.pop(_METADATA, {})
    # A part's header is never longer than the whole one with a few words added to its metadata.
    room = max_bytes - begin - 256
    groups = _grouped(header, room)
    parts = []
    for number, names in enumerate(groups, 1):
        kept = {key: value for key, value in metadata.items() if not key.startswith(_OF_THE_WHOLE)}
        kept["loracode_part"] = f"{number} of {len(groups)}"
        parts.append(_file({name: header[name] for name in names}, kept, memoryview(data)[begin:]))
    return parts


def _grouped(tensors: Mapping[str, Any], room: int) -> list[list[str]]:
    modules: dict[str, list[str]] = {}
    for name in tensors:
        modules.setdefault(name.split(".")[0], []).append(name)
    groups: list[list[str]] = []
    left = 0
    for names in modules.values():
        size = sum(_size(tensors[name]) for name in names)
        if size > room:
            raise ValueError(f"a module of {size} bytes has no room in a part of {room}")
        if not groups or size > left:
            groups.append([])
            left = room
        groups[-1] += names
        left -= size
    return groups


def _file(tensors: Mapping[str, Any], metadata: Mapping[str, str], body: memoryview) -> bytes:
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    chunks: list[memoryview] = []
    end = 0
    for name, told in tensors.items():
        start = end
        chunks.append(body[slice(*told["data_offsets"])])
        end += len(chunks[-1])
        header[name] = {**told, "data_offsets": [start, end]}
    return _header_bytes(header) + b"".join(chunks)


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return _LENGTH.pack(len(text)) + text


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Give the header and where the tensors begin; ValueError when it is no safetensors file."""
    if len(data) < _LENGTH.size:
        raise ValueError("not a safetensors file")
    begin = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    header = json.loads(data[_LENGTH.size : begin])
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    return header, begin


def _size(told: Mapping[str, Sequence[int]]) -> int:
    start, end = told["data_offsets"]
    return end - start
