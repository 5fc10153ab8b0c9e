"""LoRA files, written in kohya's format: what AUTOMATIC1111, ComfyUI, diffusers and sd-scripts load.

A module `x` has `x.lora_down.weight`, `x.lora_up.weight` and `x.alpha`. A LoHa or LoKr has LyCORIS' factors
in place of the two. The metadata are strings. Files are safetensors, in and out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy
from safetensors.torch import load, save
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import kinds, names
from gpu_worker.lora.weights import SUFFIXES, LoraWeights, ModuleWeights, are_finite, read_weights
from gpu_worker.models.family import STABLE_DIFFUSION
from gpu_worker.models.lora_hooks import LoraTarget

log = logging.getLogger(__name__)

PRECISIONS = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: The hash AUTOMATIC1111 shows is cut to this many hexadecimal digits.
SHORT_HASH = 12
_HEADER_LENGTH_BYTES = 8
_NATIVE_DOWN, _NATIVE_UP = "lora_A.weight", "lora_B.weight"


@dataclass(frozen=True)
class LoraFile:
    """The contents of a LoRA file: weights by kohya's module name, and metadata."""

    weights: dict[str, ModuleWeights]
    metadata: dict[str, str]

    @property
    def short_hash(self) -> str:
        """The hash by which the metadata of pictures name it."""
        return self.metadata.get("sshs_model_hash", "")[:SHORT_HASH]


def write(weights: Mapping[str, ModuleWeights], metadata: Mapping[str, str], precision: str) -> bytes:
    """Return the bytes of a file, with its hashes; BadInput if a weight is not finite in this precision."""
    tensors: dict[str, Tensor] = {}
    for name, values in weights.items():
        tensors[f"{name}.{names.ALPHA}"] = torch.tensor(float(values.alpha))
        tensors |= {f"{name}.{suffix}": tensor for suffix, tensor in values.tensors().items()}
    return write_tensors(tensors, metadata, precision)


def write_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], precision: str) -> bytes:
    """Return the bytes of a file of tensors by their keys, as `write` does."""
    dtype = PRECISIONS[precision]
    tensors = {key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise BadInput(JobProblem.TRAINING_NOT_FINITE)
    # The hashes are those of a file with the `ss_` metadata only, as sd-scripts computes them.
    training_metadata = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    return save_tensors(tensors, {**metadata, **compute_hashes(save_tensors(tensors, training_metadata))})


def save_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors in memory as safetensors bytes.

    The bytes are those of the library's torch half. Its numpy half makes them in a tenth of the time where
    there are thousands of small tensors, but has no bf16.
    """
    if any(tensor.dtype is torch.bfloat16 for tensor in tensors.values()):
        return save(dict(tensors), dict(metadata))
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return safetensors_numpy.save(arrays, dict(metadata))


def compute_hashes(file: bytes) -> dict[str, str]:
    """Return both hashes of sd-scripts and AUTOMATIC1111: of the weights, and of 64 KiB from 1 MiB on."""
    header_bytes = int.from_bytes(file[:_HEADER_LENGTH_BYTES], "little")
    return {
        "sshs_model_hash": hashlib.sha256(file[_HEADER_LENGTH_BYTES + header_bytes :]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(file[0x100000:0x110000]).hexdigest()[:8],
    }


def read(data: bytes, architecture: str = STABLE_DIFFUSION) -> LoraFile:
    """Read the bytes of a file for base models of an architecture, with kohya's, diffusers' or peft's names.

    Raises BadInput if it is damaged, a pickle, or of a kind that is not read here.
    """
    tensors, metadata = _load_tensors(data)
    embeddings = [key for key in tensors if kinds.is_bundled_embedding(key)]
    if embeddings:
        log.warning("left out %d tensors of embeddings that are bundled with a LoRA", len(embeddings))
    tensors = {key: tensor for key, tensor in tensors.items() if key not in embeddings}
    kinds.check_kind({key: tensor.shape for key, tensor in tensors.items()}, metadata, architecture)
    adapter_metadata = names.AdapterMetadata(metadata)
    return LoraFile(
        {
            module: _read_module(module, parts, adapter_metadata)
            for module, parts in sorted(_group_by_module(tensors, metadata, architecture).items())
        },
        metadata,
    )


def _load_tensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors = load(data)
        metadata = read_metadata(data)
    except KeyError as error:  # the library knows the numbers, torch does not
        raise BadInput(JobProblem.LORA_UNSUPPORTED, kind=str(error.args[0])) from error
    except (SafetensorError, ValueError) as error:
        raise BadInput(JobProblem.LORA_DAMAGED) from error
    return tensors, metadata


def _group_by_module(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], architecture: str
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors by kohya's module name, then by suffix."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        parsed = names.parse_key(key)
        if parsed is None:
            kinds.raise_unknown(metadata, architecture)
        module, suffix = parsed
        modules.setdefault(module, {})[suffix] = tensor
    return modules


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file."""
    header_bytes = int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    header = json.loads(data[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + header_bytes])
    return {str(key): str(value) for key, value in (header.get("__metadata__") or {}).items()}


def _read_module(
    module: str, parts: dict[str, Tensor], adapter_metadata: names.AdapterMetadata
) -> ModuleWeights:
    biases = parts.pop(names.BIAS, None)
    if biases is not None and bool(biases.float().count_nonzero()):
        raise BadInput(JobProblem.LORA_UNSUPPORTED, kind="LoRA with biases")
    alpha = parts.pop(names.ALPHA, None)
    if alpha is not None and (alpha.numel() != 1 or alpha.is_complex()):
        raise BadInput(JobProblem.LORA_BAD_ALPHA)
    if not parts.keys() <= SUFFIXES:
        raise BadInput(JobProblem.LORA_UNSUPPORTED, kind=next(iter(parts.keys() - SUFFIXES)))
    # Without an alpha, sd-scripts takes the rank, and so does peft.
    widened = {suffix: _widen(tensor) for suffix, tensor in parts.items()}
    weights = read_weights(widened, None)
    scale = float(alpha) if alpha is not None else adapter_metadata.find_alpha(module, weights.rank or 1)
    if scale is not None:
        weights = read_weights(widened, scale)
    if not math.isfinite(weights.alpha) or not are_finite({module: weights}):
        raise BadInput(JobProblem.LORA_NOT_FINITE)
    return weights


def _widen(matrix: Tensor) -> Tensor:
    """Return a matrix in fp32; BadInput if its numbers are no fractions, as those of a quantised LoRA."""
    if not matrix.is_floating_point():
        raise BadInput(JobProblem.LORA_UNSUPPORTED, kind=str(matrix.dtype).removeprefix("torch."))
    return matrix.float()


def to_native_tensors(
    targets: Mapping[str, LoraTarget], weights: Mapping[str, ModuleWeights]
) -> dict[str, Tensor]:
    """Return the tensors of a file by their keys; the alpha is multiplied into `lora_B`."""
    tensors: dict[str, Tensor] = {}
    fused: dict[str, dict[int, LoraWeights]] = {}
    for name, values in weights.items():
        target = targets[name]
        names = target.group.file_names
        if names is None:
            raise AssertionError(f"{name} has no native name")
        part = names.find_fused(target.path) if names.is_fused_in_files else None
        if not isinstance(values, LoraWeights):  # a LoHa or LoKr of a fused matrix is no sum of its parts
            path = f"{names.prefix}{target.path}"
            tensors[f"{path}.alpha"] = torch.tensor(float(values.alpha))
            tensors |= {f"{path}.{suffix}": tensor for suffix, tensor in values.tensors().items()}
        elif part is not None:
            fused.setdefault(f"{names.prefix}{part[0]}", {})[part[1]] = values
        else:
            path = f"{names.prefix}{names.to_file_path(target.path)}"
            tensors |= {f"{path}.{_NATIVE_DOWN}": values.down, f"{path}.{_NATIVE_UP}": _scale_up(values)}
    for path, parts in fused.items():
        tensors |= {f"{path}.{suffix}": tensor for suffix, tensor in _fuse(parts, path, targets).items()}
    return tensors


def _scale_up(values: LoraWeights) -> Tensor:
    return values.up * (values.alpha / values.rank)


def _fuse(
    parts: Mapping[int, LoraWeights], path: str, targets: Mapping[str, LoraTarget]
) -> dict[str, Tensor]:
    """Return the matrices of all parts in one: `lora_B` has them along its diagonal."""
    rows = _count_rows(path, targets)
    present = sorted(parts)
    up = torch.zeros(sum(rows), sum(parts[index].rank for index in present))
    column = 0
    for index in present:
        row, rank = sum(rows[:index]), parts[index].rank
        up[row : row + rows[index], column : column + rank] = _scale_up(parts[index])
        column += rank
    return {_NATIVE_DOWN: torch.cat([parts[index].down for index in present]), _NATIVE_UP: up}


def _count_rows(path: str, targets: Mapping[str, LoraTarget]) -> list[int]:
    """Return how many rows each part of a fused matrix has."""
    rows = {}
    for target in targets.values():
        names = target.group.file_names
        part = names.find_fused(target.path) if names is not None else None
        if names is not None and part is not None and f"{names.prefix}{part[0]}" == path:
            rows[part[1]] = target.weight_shape[0]
    return [rows[index] for index in sorted(rows)]


def split_fused(
    weights: Mapping[str, ModuleWeights], fused_names: Mapping[str, Sequence[str]]
) -> dict[str, ModuleWeights]:
    """Return weights with those of a fused matrix as its parts'; others are as they were."""
    separate: dict[str, ModuleWeights] = {}
    for name, values in weights.items():
        parts = fused_names.get(name)
        if parts is None or not isinstance(values, LoraWeights):
            separate[name] = values
        else:
            separate |= zip(parts, _split_module(values, len(parts)), strict=True)
    return separate


def _split_module(values: LoraWeights, count: int) -> list[LoraWeights]:
    """Return the parts of a fused module, all of one size: of a lower rank if they are along a diagonal."""
    ups = values.up.chunk(count)
    if values.rank % count == 0:
        blocks = [up.chunk(count, dim=1) for up in ups]
        is_diagonal = not any(
            bool(block.count_nonzero())
            for row, row_blocks in enumerate(blocks)
            for column, block in enumerate(row_blocks)
            if row != column
        )
        if is_diagonal:
            downs = values.down.chunk(count)
            return [
                LoraWeights(down, row_blocks[row], values.alpha / count)
                for row, (down, row_blocks) in enumerate(zip(downs, blocks, strict=True))
            ]
    return [replace(values, up=up) for up in ups]
