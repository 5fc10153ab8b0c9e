"""One run of the training program: its folder, settings, clock and log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from small_base.settings import SmallBaseSettings
from small_base.state import SmallBaseState


@dataclass(frozen=True)
class SmallBaseRun:
    """The folder, settings and log of one run."""

    folder: Path
    settings: SmallBaseSettings
    log: Callable[[str], None]


class StateSaver:
    """Writes a stage's state at intervals."""

    def __init__(self, run: SmallBaseRun, path: Path) -> None:
        self._interval_s = run.settings.checkpoint_every_s
        self._path = path
        self._last_saved_at = time.monotonic()

    def save(self, state: SmallBaseState, is_last: bool) -> None:
        """Write the state if it is due, or at the end."""
        if is_last or time.monotonic() - self._last_saved_at > self._interval_s:
            state.save(self._path)
            self._last_saved_at = time.monotonic()


def compute_lr(step: int, steps: int, peak_lr: float, settings: SmallBaseSettings) -> float:
    """Return the learning rate: a warm-up, a plateau, a straight line down to almost nothing."""
    decay_steps = max(1.0, steps * settings.lr_decay_share)
    return peak_lr * min((step + 1) / settings.lr_warmup_steps, (steps - step) / decay_steps, 1.0)
