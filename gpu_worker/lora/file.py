"""LoRA files in kohya's format: what AUTOMATIC1111, ComfyUI, diffusers and sd-scripts load.

A module `x` has `x.lora_down.weight`, `x.lora_up.weight` and `x.alpha`; the metadata are strings. Files are
safetensors, in and out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora.layers import LoraWeights

PRECISIONS = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_DOWN, _UP, _ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"
#: The hash AUTOMATIC1111 shows is cut to this many hexadecimal digits.
_SHORT_HASH = 12
_HEADER_LENGTH_BYTES = 8


@dataclass(frozen=True)
class LoraFile:
    """The contents of a LoRA file: weights by kohya's module name, and metadata."""

    weights: dict[str, LoraWeights]
    metadata: dict[str, str]

    @property
    def short_hash(self) -> str:
        """The hash by which the metadata of pictures name it."""
        return self.metadata.get("sshs_model_hash", "")[:_SHORT_HASH]


def write(weights: Mapping[str, LoraWeights], metadata: Mapping[str, str], precision: str) -> bytes:
    """Return the bytes of a file, with its hashes; BadInput if a weight is not finite in this precision."""
    dtype = PRECISIONS[precision]
    tensors: dict[str, Tensor] = {}
    for name, values in weights.items():
        tensors[name + _ALPHA] = torch.tensor(float(values.alpha), dtype=dtype)
        tensors[name + _DOWN] = values.down.to(dtype).contiguous()
        tensors[name + _UP] = values.up.to(dtype).contiguous()
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise BadInput(JobProblem.TRAINING_NOT_FINITE)
    # The hashes are those of a file with the `ss_` metadata only, as sd-scripts computes them.
    training_metadata = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    return save(tensors, {**metadata, **_compute_hashes(save(tensors, training_metadata))})


def _compute_hashes(file: bytes) -> dict[str, str]:
    """Return both hashes of sd-scripts and AUTOMATIC1111: of the weights, and of 64 KiB from 1 MiB on."""
    header_bytes = int.from_bytes(file[:_HEADER_LENGTH_BYTES], "little")
    return {
        "sshs_model_hash": hashlib.sha256(file[_HEADER_LENGTH_BYTES + header_bytes :]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(file[0x100000:0x110000]).hexdigest()[:8],
    }


def read(data: bytes) -> LoraFile:
    """Read the bytes of a file; BadInput if it is damaged, a pickle, or no LoRA in this format."""
    try:
        tensors = load(data)
        metadata = read_metadata(data)
    except (SafetensorError, ValueError) as error:
        raise BadInput(JobProblem.LORA_DAMAGED) from error
    names = {key.removesuffix(_DOWN) for key in tensors if key.endswith(_DOWN)}
    expected_keys = {name + suffix for name in names for suffix in (_DOWN, _UP, _ALPHA)}
    if not names or not set(tensors) <= expected_keys:
        raise BadInput(JobProblem.LORA_NOT_KOHYA)
    return LoraFile({name: _read_module(tensors, name) for name in sorted(names)}, metadata)


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file."""
    header_bytes = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    header = json.loads(data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + header_bytes])
    return {str(key): str(value) for key, value in (header.get("__metadata__") or {}).items()}


def _read_module(tensors: Mapping[str, Tensor], name: str) -> LoraWeights:
    down, up = tensors[name + _DOWN], tensors.get(name + _UP)
    if up is None or down.dim() < 2 or up.dim() < 2 or not 0 < down.shape[0] == up.shape[1]:
        raise BadInput(JobProblem.LORA_INCOMPLETE)
    alpha = tensors.get(name + _ALPHA)
    if alpha is not None and (alpha.numel() != 1 or alpha.is_complex()):
        raise BadInput(JobProblem.LORA_BAD_ALPHA)
    # Without an alpha, sd-scripts takes the rank.
    return LoraWeights(down.float(), up.float(), float(down.shape[0] if alpha is None else alpha))
