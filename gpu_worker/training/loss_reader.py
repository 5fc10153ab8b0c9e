"""Read losses one step late, so that the GPU's queue never drains, and notice when they are not finite.

Reading a loss at once would empty the queue at every step and leave the GPU idle. Never reading one would let
the program queue minutes of work, and a cancel or a picture would wait as long. So the program stays exactly
one step ahead.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpu_worker.device.memory_modes import NotFinite

#: Consecutive steps without a finite loss after which fp16 is taken to be too narrow. The loss scaler
#: needs one or two to find its scale.
_MAX_BAD_FP16_STEPS = 8


class AsyncLossReader:
    """Returns the loss of the step before the one just queued."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._pending: tuple[Tensor, torch.cuda.Event] | None = None

    def push(self, loss: Tensor) -> float | None:
        """Queue a step's loss. Return the one that is known now: on a CPU this one, on a GPU the last."""
        if not self._is_cuda:
            return float(loss)
        previous_loss = self.flush()
        loss_copy = torch.empty((), pin_memory=True).copy_(loss, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending = (loss_copy, event)
        return previous_loss

    def flush(self) -> float | None:
        """Wait for the queued step and return its loss; None if there is none."""
        if self._pending is None:
            return None
        loss_copy, event = self._pending
        event.synchronize()
        self._pending = None
        return float(loss_copy)


class NanGuard:
    """Raises NotFinite after too many consecutive losses that are NaN or infinite."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._max_bad_steps = _MAX_BAD_FP16_STEPS if dtype is torch.float16 else 1
        self._bad_steps = 0

    def check(self, loss: float | None) -> None:
        """Count a step's loss, None if it is not known yet."""
        if loss is None:
            return
        self._bad_steps = 0 if math.isfinite(loss) else self._bad_steps + 1
        if self._bad_steps >= self._max_bad_steps:
            raise NotFinite("the loss is no number")
