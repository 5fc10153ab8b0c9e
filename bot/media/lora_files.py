"""LoRA files as the front end knows them: safetensors or refused, whole or in parts. Pure.

What a worker hands over goes to people, so it is looked at first: nothing but numbers is in it. Platforms
that take no large files get a LoRA in smaller ones.

Each part holds some of the modules, whole, so that loading all parts at the same strength is the LoRA itself.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

_HEADER_LENGTH = struct.Struct("<Q")
_METADATA_KEY = "__metadata__"
_ALIGNMENT_BYTES = 8
#: Hashes are of the whole file, so a part must not claim them.
_FILE_HASH_PREFIX = "sshs_"
#: Bytes of a number of each kind; a header names no other.
_DTYPE_BYTES = {
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
#: What follows a module's name: `.lora_down.weight`, `.lora_A.weight`, `.alpha`, `.hada_w1_a`.
_PARAMETER = re.compile(r"\.(?:lora_\w+\.)?[^.]+$")
_KOHYA_PREFIX = "lora_"
#: As the format's own readers have it.
_MAX_HEADER_BYTES = 100_000_000


def validate_lora(data: bytes) -> None:
    """See whether a file is safetensors from its first byte to its last; ValueError when it is not."""
    header, data_start = _read_header(data)
    previous_end = 0
    tensors = [tensor_info for name, tensor_info in header.items() if name != _METADATA_KEY]
    try:
        # In the order they lie there, each begins where the last one ended: nothing is hidden between them.
        for tensor_info in sorted(tensors, key=lambda each: tuple(each["data_offsets"])):
            start, stop = tensor_info["data_offsets"]
            size_bytes = math.prod(tensor_info["shape"]) * _DTYPE_BYTES[tensor_info["dtype"]]
            if (
                start != previous_end
                or stop - start != size_bytes
                or min(tensor_info["shape"], default=0) < 0
            ):
                raise ValueError("its tensors do not lie as its header says")
            previous_end = stop
    except (KeyError, TypeError) as error:
        raise ValueError("its header is not one of tensors") from error
    if not tensors or data_start + previous_end != len(data):
        raise ValueError("it is longer or shorter than its header says")


def has_kohya_names(file: BinaryIO) -> bool:
    """Return whether a LoRA names its modules as kohya does and AUTOMATIC1111 reads them.

    Only its header is read; ValueError when it is no safetensors file.
    """
    length = file.read(_HEADER_LENGTH.size)
    header, _ = _read_header(length + file.read(min(int.from_bytes(length, "little"), _MAX_HEADER_BYTES)))
    return any(name.startswith(_KOHYA_PREFIX) for name in header)


def split_lora(data: bytes, max_bytes: int) -> list[bytes]:
    """Return the file in parts of at most `max_bytes`; itself alone if it fits. ValueError when none can."""
    if len(data) <= max_bytes:
        return [data]
    header, data_start = _read_header(data)
    metadata = header.pop(_METADATA_KEY, {})
    # A part's header is never longer than the whole one with a few words added to its metadata.
    max_data_bytes = max_bytes - data_start - 256
    groups = _group_modules(header, max_data_bytes)
    parts = []
    for number, names in enumerate(groups, 1):
        part_metadata = {
            key: value for key, value in metadata.items() if not key.startswith(_FILE_HASH_PREFIX)
        }
        part_metadata["loracode_part"] = f"{number} of {len(groups)}"
        parts.append(
            _build_file({name: header[name] for name in names}, part_metadata, memoryview(data)[data_start:])
        )
    return parts


def _group_modules(tensors: Mapping[str, Any], max_data_bytes: int) -> list[list[str]]:
    modules: dict[str, list[str]] = {}
    for name in tensors:
        modules.setdefault(_PARAMETER.sub("", name), []).append(name)
    groups: list[list[str]] = []
    free_bytes = 0
    for names in modules.values():
        module_bytes = sum(_tensor_bytes(tensors[name]) for name in names)
        if module_bytes > max_data_bytes:
            raise ValueError(f"a module of {module_bytes} bytes has no room in a part of {max_data_bytes}")
        if not groups or module_bytes > free_bytes:
            groups.append([])
            free_bytes = max_data_bytes
        groups[-1] += names
        free_bytes -= module_bytes
    return groups


def _build_file(tensors: Mapping[str, Any], metadata: Mapping[str, str], body: memoryview) -> bytes:
    header: dict[str, Any] = {_METADATA_KEY: dict(metadata)}
    chunks: list[memoryview] = []
    end_offset = 0
    for name, tensor_info in tensors.items():
        start_offset = end_offset
        chunks.append(body[slice(*tensor_info["data_offsets"])])
        end_offset += len(chunks[-1])
        header[name] = {**tensor_info, "data_offsets": [start_offset, end_offset]}
    return _header_bytes(header) + b"".join(chunks)


def _header_bytes(header: Mapping[str, Any]) -> bytes:
    encoded_header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded_header += b" " * (-len(encoded_header) % _ALIGNMENT_BYTES)
    return _HEADER_LENGTH.pack(len(encoded_header)) + encoded_header


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header and where the tensors begin; ValueError when it is no safetensors file."""
    if len(data) < _HEADER_LENGTH.size:
        raise ValueError("not a safetensors file")
    length_bytes = _HEADER_LENGTH.unpack_from(data)[0]
    data_start = _HEADER_LENGTH.size + length_bytes
    if length_bytes > _MAX_HEADER_BYTES or data_start > len(data):
        raise ValueError("not a safetensors file")
    try:
        header = json.loads(data[_HEADER_LENGTH.size : data_start])
    except RecursionError as error:
        raise ValueError("not a safetensors file") from error
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file")
    return header, data_start


def _tensor_bytes(tensor_info: Mapping[str, Sequence[int]]) -> int:
    start, end = tensor_info["data_offsets"]
    return end - start
