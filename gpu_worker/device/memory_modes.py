"""Precision and memory modes, and the order of fallbacks after OOM or NaN. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch

from gpu_worker.device import cuda_errors
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.errors import WorkerError

#: Those that round, in the order in which they are tried.
_STORAGES = (WeightStorage.INT8, WeightStorage.NF4)


class ComputeError(WorkerError):
    """A step failed in this memory mode; another mode may work."""


class OutOfMemory(ComputeError):
    """A step needs more memory than there is."""


class NotFinite(ComputeError):
    """A step computed NaN or infinite values."""


@dataclass(frozen=True)
class MemoryMode:
    """Dtype of the frozen weights, and the measures that save memory."""

    dtype: torch.dtype
    gradient_checkpointing: bool = False  #: recompute activations in the backward pass
    vae_offload: bool = False  #: keep the VAE in system memory while it is not used
    storage: WeightStorage = WeightStorage.WHOLE
    streamed_blocks: int = 0  #: that wait in system memory; only of stored weights
    text_encoder_offload: bool = False  #: prompts are encoded by the processor

    def __str__(self) -> str:
        extras = ["gradient checkpointing"] * self.gradient_checkpointing
        extras += ["VAE offload"] * self.vae_offload
        extras += [f"weights in {self.storage}"] * (self.storage is not WeightStorage.WHOLE)
        extras += [f"{self.streamed_blocks} blocks streamed"] * bool(self.streamed_blocks)
        extras += ["text encoder on the processor"] * self.text_encoder_offload
        return ", ".join([str(self.dtype).removeprefix("torch."), *extras])


def fall_back(
    memory_mode: MemoryMode,
    compute_error: ComputeError,
    fallback_dtype: torch.dtype,
    storages: Collection[WeightStorage] = (),
    block_count: int = 0,
) -> MemoryMode | None:
    """Return the next memory mode after an error; None if there is none.

    `fallback_dtype` replaces fp16 after NaN: bf16 where the device computes it fast, else fp32. After OOM
    what costs time alone comes first, then what `storages` allows; `block_count` is how many blocks can be
    streamed. Rounding cannot be taken back.
    """
    if isinstance(compute_error, OutOfMemory):
        if not memory_mode.gradient_checkpointing:
            return replace(memory_mode, gradient_checkpointing=True)
        if not memory_mode.vae_offload:
            return replace(memory_mode, vae_offload=True)
        return _store_smaller(memory_mode, storages, block_count)
    if memory_mode.dtype is torch.float16:
        return replace(memory_mode, dtype=fallback_dtype)
    if memory_mode.dtype is torch.bfloat16:
        return replace(memory_mode, dtype=torch.float32)
    return None


def _store_smaller(
    memory_mode: MemoryMode, storages: Collection[WeightStorage], block_count: int
) -> MemoryMode | None:
    """Return the mode with weights in 8 bits, then with all blocks streamed, then in 4 bits."""
    smaller = [storage for storage in _STORAGES if storage in storages]
    if memory_mode.storage is WeightStorage.WHOLE:
        return replace(memory_mode, storage=smaller[0]) if smaller else None
    if memory_mode.streamed_blocks < block_count:
        return replace(memory_mode, streamed_blocks=block_count)
    if memory_mode.storage is WeightStorage.INT8 and WeightStorage.NF4 in smaller:
        return replace(memory_mode, storage=WeightStorage.NF4)
    return None


def as_compute_error(error: BaseException) -> ComputeError | None:
    """Return an error as ComputeError if it means OOM or NaN, else None; torch raises OOM in several ways."""
    if isinstance(error, ComputeError):
        return error
    return OutOfMemory(str(error)) if cuda_errors.is_out_of_memory(error) else None
