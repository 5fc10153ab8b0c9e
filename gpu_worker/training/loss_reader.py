"""Keeps the card busy and the program in step with it.

A card works off a queue. Reading a loss at once would empty the queue at every step and leave the card idle;
never reading it would let the program run minutes ahead, and a cancel or a picture would wait as long. So
the program stays exactly one step ahead.
"""

from __future__ import annotations

import torch
from torch import Tensor


class AsyncLossReader:
    """Waits for the step before the one just queued, and knows its loss."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._pending: tuple[Tensor, torch.cuda.Event] | None = None

    def push(self, loss: Tensor) -> float | None:
        """Note a step's loss; return the one known now: on a CPU this one, on a card the last one."""
        if not self._is_cuda:
            return float(loss)
        previous_loss = self.flush()
        loss_copy = torch.empty((), pin_memory=True).copy_(loss, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending = (loss_copy, event)
        return previous_loss

    def flush(self) -> float | None:
        """Wait for the step that is under way and return its loss; None when there is none."""
        if self._pending is None:
            return None
        loss_copy, event = self._pending
        event.synchronize()
        self._pending = None
        return float(loss_copy)
