"""Weights from safetensors files without a second copy in memory.

A file is mapped, not read. A tensor of the wanted precision stays a view of the mapping, so that the system
shares and reclaims it; another precision is converted tensor by tensor, and the pages of the original are
given back at once. So loading never holds both.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.memory.quantized_layers import get_weight_shape, list_layers, move_codes, store_layer

_HEADER_LENGTH_BYTES = 8
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
}


class MappedFile:
    """The tensors of one file by name; each may be renamed or left out before it is placed."""

    def __init__(self, path: Path) -> None:
        """Map the file; BaseModelError if it is damaged or not safetensors."""
        try:
            with safe_open(path, "pt"):  # checks the header against the file's length
                pass
            with path.open("rb") as file:
                # Private and writable, so that torch takes it as memory like any other; nothing is written.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (SafetensorError, OSError, ValueError) as error:
            raise BaseModelError(JobProblem.BASE_MODEL_DAMAGED, name=path.name) from error
        header_bytes = int.from_bytes(self._map[:_HEADER_LENGTH_BYTES], "little")
        self._data_offset = _HEADER_LENGTH_BYTES + header_bytes
        header: dict[str, Any] = json.loads(self._map[_HEADER_LENGTH_BYTES : self._data_offset])
        header.pop("__metadata__", None)
        self._header = header
        self._file_name = path.name

    def views(self) -> dict[str, Tensor]:
        """Return all tensors that can be weights as views of the mapping; no page is read yet.

        Flags and bytes that some files bring along are left out.
        """
        names = [name for name, info in self._header.items() if info["dtype"] in _DTYPES]
        if 2 * len(names) < len(self._header):  # a quantised model
            others = sorted({info["dtype"] for info in self._header.values()} - _DTYPES.keys())
            raise BaseModelError(
                JobProblem.BASE_MODEL_UNKNOWN_DTYPE, name=self._file_name, dtype=", ".join(others)
            )
        return {name: self._create_view(name) for name in names}

    def _create_view(self, name: str) -> Tensor:
        tensor_info = self._header[name]
        dtype = _DTYPES[tensor_info["dtype"]]
        start, end = tensor_info["data_offsets"]
        if start == end:
            return torch.empty(tensor_info["shape"], dtype=dtype)
        flat = torch.frombuffer(
            self._map, dtype=dtype, count=(end - start) // dtype.itemsize, offset=self._data_offset + start
        )
        return flat.view(tensor_info["shape"])

    def release(self, view: Tensor) -> None:
        """Free the pages of a view; a later read loads them again."""
        if not hasattr(mmap, "MADV_DONTNEED"):  # Windows: the pages go when the mapping does
            return
        start = view.data_ptr() - torch.frombuffer(self._map, dtype=torch.uint8).data_ptr()
        if not 0 <= start < len(self._map):  # a converted tensor, which is a copy
            return
        end = start + view.numel() * view.element_size()
        first_page, last_page = (
            -(-start // mmap.PAGESIZE) * mmap.PAGESIZE,
            end // mmap.PAGESIZE * mmap.PAGESIZE,
        )
        if last_page > first_page:
            self._map.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)


class NotFiniteWeight(Exception):
    """A weight is NaN or infinite; the message is its name."""


class WeightSource:
    """The tensors for one component of a model, each with its file."""

    def __init__(self, tensors: Mapping[str, tuple[MappedFile, Tensor]]) -> None:
        self._tensors = dict(tensors)

    @classmethod
    def open_files(cls, paths: list[Path]) -> WeightSource:
        """Map files; weights may be in several shards."""
        tensors: dict[str, tuple[MappedFile, Tensor]] = {}
        for path in paths:
            file = MappedFile(path)
            tensors |= {name: (file, view) for name, view in file.views().items()}
        return cls(tensors)

    def views(self) -> dict[str, Tensor]:
        """Return all tensors by name."""
        return {name: view for name, (_, view) in self._tensors.items()}

    def with_names(self, views: Mapping[str, Tensor]) -> WeightSource:
        """Return a source with these views, which may be renamed, reshaped, cut into parts, or copies."""
        owners = {_get_storage(view): file for file, view in self._tensors.values()}
        any_file = next(iter(owners.values()), None)
        files = {name: owners.get(_get_storage(view), any_file) for name, view in views.items()}
        return WeightSource({name: (file, views[name]) for name, file in files.items() if file is not None})

    def items(self) -> Iterator[tuple[str, MappedFile, Tensor]]:
        """Yield name, file and view."""
        for name, (file, view) in self._tensors.items():
            yield name, file, view


def _get_storage(view: Tensor) -> int:
    """Return where the tensor begins that a view shows all or a part of."""
    return view.untyped_storage().data_ptr()


def load_weights(
    model: nn.Module,
    source: WeightSource,
    device: torch.device,
    dtype: torch.dtype,
    storage: WeightStorage = WeightStorage.WHOLE,
    wide_paths: Collection[str] = (),
    streamed_blocks: Collection[nn.Module] = (),
) -> list[str]:
    """Fill a part that was built on the meta device; return the names it has and the source has not.

    Tensors the part does not know are left out. `storage` rounds its layers but those in `wide_paths`, each
    as it is read, so that never more than one is whole; those of `streamed_blocks` stay in system memory.
    Raises NotFiniteWeight.
    """
    expected_names = set(model.state_dict())
    layers = {} if storage is WeightStorage.WHOLE else dict(list_layers(model, wide_paths))
    streamed_layers = {layer for block in streamed_blocks for layer in block.modules()}
    state_dict: dict[str, Tensor] = {}
    for name, file, view in source.items():
        if name not in expected_names:
            continue
        _check_finite(name, view)
        layer = layers.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if layer is not None:
            _check_shape(layer, view)
            store_layer(layer, storage, view.to(device))
            if layer in streamed_layers:
                move_codes(layer, torch.device("cpu"))
            file.release(view)
            expected_names.remove(name)
            continue
        if view.dtype == dtype and device.type == "cpu":
            file.release(view)
            state_dict[name] = view
            continue
        state_dict[name] = view.to(device, dtype, copy=True)
        file.release(view)
    missing_names = sorted(expected_names - state_dict.keys())
    model.load_state_dict(state_dict, strict=False, assign=True)
    return missing_names


def _check_shape(layer: nn.Module, view: Tensor) -> None:
    if get_weight_shape(layer) != view.shape:
        raise RuntimeError(f"a weight has another shape: {tuple(view.shape)}")  # as torch does


def _check_finite(name: str, view: Tensor) -> None:
    """Raise NotFiniteWeight if any number is NaN or infinite: their sum is so, then, in one pass."""
    values = view.float() if view.dtype.itemsize == 1 else view
    if not bool(values.sum(dtype=torch.float64).isfinite()):
        raise NotFiniteWeight(name)
