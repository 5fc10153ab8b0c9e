"""Read losses one step late, so that the GPU's queue never drains, and notice when they are not finite.

Reading a loss at once would empty the queue at every step and leave the GPU idle. Never reading one would let
the program queue minutes of work, and a cancel or a picture would wait as long. So the program stays exactly
one step ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_worker.device.memory_modes import NotFinite

#: Consecutive steps without a finite loss after which fp16 is taken to be too narrow. The loss scaler
#: needs one or two to find its scale.
_MAX_BAD_FP16_STEPS = 8


@dataclass(frozen=True)
class StepLoss:
    """The losses of one optimizer step."""

    step: int  #: counted from 1
    batch_losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean over its batches."""
        return sum(self.batch_losses) / len(self.batch_losses)


class AsyncLossReader:
    """Returns the losses of the step before the one just queued."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._pending: tuple[int, Tensor, torch.cuda.Event] | None = None

    def push(self, step: int, batch_losses: Tensor) -> StepLoss | None:
        """Queue a step's losses. Return those that are known now: on a CPU these, on a GPU the last."""
        if not self._is_cuda:
            return StepLoss(step, tuple(batch_losses.tolist()))
        previous_loss = self.flush()
        losses_copy = torch.empty(batch_losses.shape, pin_memory=True).copy_(batch_losses, non_blocking=True)
        # Blocking, as waiting would take a whole core otherwise.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        self._pending = (step, losses_copy, event)
        return previous_loss

    def flush(self) -> StepLoss | None:
        """Wait for the queued step and return its losses; None if there is none."""
        if self._pending is None:
            return None
        step, losses_copy, event = self._pending
        event.synchronize()
        self._pending = None
        return StepLoss(step, tuple(losses_copy.tolist()))


class NanGuard:
    """Raises NotFinite after too many consecutive losses that are NaN or infinite."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._max_bad_steps = _MAX_BAD_FP16_STEPS if dtype is torch.float16 else 1
        self._bad_steps = 0

    def check(self, step_loss: StepLoss | None) -> None:
        """Count a step's losses, None if they are not known yet."""
        if step_loss is None:
            return
        self._bad_steps = 0 if math.isfinite(step_loss.mean) else self._bad_steps + 1
        if self._bad_steps >= self._max_bad_steps:
            raise NotFinite("the loss is no number")
