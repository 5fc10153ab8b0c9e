"""How the card is used, and one notch down when it is too much for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gpu_worker.errors import WorkerError

#: What those say, in plain RuntimeErrors, that take memory past torch's allocator for the card.
_OOM_MESSAGES = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on Windows
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine",  # cuDNN, when no way to compute a convolution gets the memory it wants
)


class ComputeError(WorkerError):
    """The card could not do a step as it was asked; a lower gear may."""


class OutOfMemory(ComputeError):
    """The step needs more memory than there is."""


class NotFinite(ComputeError):
    """The step's numbers went out of bounds."""


@dataclass(frozen=True)
class MemoryMode:
    """Precision of the frozen weights, and what is traded for memory."""

    dtype: torch.dtype
    gradient_checkpointing: bool = False  #: compute activations again in the backward pass
    sliced_attention: bool = False  #: one attention head after the other

    def __str__(self) -> str:
        extras = ["gradient checkpointing"] * self.gradient_checkpointing + [
            "sliced attention"
        ] * self.sliced_attention
        return ", ".join([str(self.dtype).removeprefix("torch."), *extras])


def fall_back(
    memory_mode: MemoryMode, compute_error: ComputeError, fallback_dtype: torch.dtype
) -> MemoryMode | None:
    """Return the next gear down for this trouble; None when there is none.

    `wide_dtype` is what half precision falls back to: bf16 where the card computes it fast, else fp32.
    """
    if isinstance(compute_error, OutOfMemory):
        if not memory_mode.gradient_checkpointing:
            return replace(memory_mode, gradient_checkpointing=True)
        if not memory_mode.sliced_attention:
            return replace(memory_mode, sliced_attention=True)
        return None
    if memory_mode.dtype is torch.float16:
        return replace(memory_mode, dtype=fallback_dtype)
    if memory_mode.dtype is torch.bfloat16:
        return replace(memory_mode, dtype=torch.float32)
    return None


def as_compute_error(error: BaseException) -> ComputeError | None:
    """Tell whether an error means that the card is too small; torch has several ways to say so."""
    if isinstance(error, ComputeError):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return OutOfMemory(str(error))
    message = str(error)
    if isinstance(error, RuntimeError) and any(each in message for each in _OOM_MESSAGES):
        return OutOfMemory(message)
    return None
