"""How the card is used, and one notch down when it is too much for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from gpu_worker.errors import WorkerError

#: What those say, in plain RuntimeErrors, that take memory past torch's allocator for the card.
_SHORT_OF_MEMORY = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on Windows
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "unable to find an engine",  # cuDNN, when no way to compute a convolution gets the memory it wants
)


class Trouble(WorkerError):
    """The card could not do a step as it was asked; a lower gear may."""


class OutOfMemory(Trouble):
    """The step needs more memory than there is."""


class NotFinite(Trouble):
    """The step's numbers went out of bounds."""


@dataclass(frozen=True)
class Gear:
    """Precision of the frozen weights, and what is traded for memory."""

    dtype: torch.dtype
    checkpointing: bool = False  #: compute activations again in the backward pass
    sliced_attention: bool = False  #: one attention head after the other

    def __str__(self) -> str:
        extras = ["gradient checkpointing"] * self.checkpointing + [
            "sliced attention"
        ] * self.sliced_attention
        return ", ".join([str(self.dtype).removeprefix("torch."), *extras])


def lower(gear: Gear, trouble: Trouble, wide_dtype: torch.dtype) -> Gear | None:
    """Return the next gear down for this trouble; None when there is none.

    `wide_dtype` is what half precision falls back to: bf16 where the card computes it fast, else fp32.
    """
    if isinstance(trouble, OutOfMemory):
        if not gear.checkpointing:
            return replace(gear, checkpointing=True)
        if not gear.sliced_attention:
            return replace(gear, sliced_attention=True)
        return None
    if gear.dtype is torch.float16:
        return replace(gear, dtype=wide_dtype)
    if gear.dtype is torch.bfloat16:
        return replace(gear, dtype=torch.float32)
    return None


def trouble_of(error: BaseException) -> Trouble | None:
    """Tell whether an error means that the card is too small; torch has several ways to say so."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return OutOfMemory(str(error))
    said = str(error)
    if isinstance(error, RuntimeError) and any(each in said for each in _SHORT_OF_MEMORY):
        return OutOfMemory(said)
    return None
