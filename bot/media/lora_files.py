"""LoRA files as the front end knows them: safetensors or refused, whole or in parts. Pure.

What a worker hands over goes to people, so it is looked at first: nothing but numbers is in it. Platforms
that take no large files get a LoRA in smaller ones.

Each part holds some of the modules, whole, so that loading all parts at the same strength is the LoRA itself.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_ALIGNMENT_BYTES = 8
#: Hashes are of the whole file, so a part must not claim them.
_OF_THE_WHOLE = "sshs_"
#: Bytes of a number of each kind; a header names no other.
_NUMBER_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
#: As the format's own readers have it.
_MAX_HEADER_BYTES = 100_000_000


def check(data: bytes) -> None:
    """See whether a file is safetensors from its first byte to its last; ValueError when it is not."""
    header, begin = _read_header(data)
    end = 0
    tensors = [told for name, told in header.items() if name != _METADATA]
    try:
        # In the order they lie there, each begins where the last one ended: nothing is hidden between them.
        for told in sorted(tensors, key=lambda each: tuple(each["data_offsets"])):
            start, stop = told["data_offsets"]
            size = math.prod(told["shape"]) * _NUMBER_BYTES[told["dtype"]]
            if start != end or stop - start != size or min(told["shape"], default=0) < 0:
                raise ValueError("its tensors do not lie as its header says")
            end = stop
    except (KeyError, TypeError) as error:
        raise ValueError("its header is not one of tensors") from error
    if not tensors or begin + end != len(data):
        raise ValueError("it is longer or shorter than its header says")


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
    length = _LENGTH.unpack_from(data)[0]
    begin = _LENGTH.size + length
    if length > _MAX_HEADER_BYTES or begin > len(data):
        raise ValueError("not a safetensors file")
    try:
        header = json.loads(data[_LENGTH.size : begin])
    except RecursionError as error:
        raise ValueError("not a safetensors file") from error
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    return header, begin


def _size(told: Mapping[str, Sequence[int]]) -> int:
    start, end = told["data_offsets"]
    return end - start
