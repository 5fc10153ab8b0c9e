"""One run of the training program: its folder, settings, clock and log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from small_base.settings import SmallBaseSettings
from small_base.state import TrainingState


@dataclass(frozen=True)
class Run:
    """Where a run keeps what it has done, and how it tells."""

    folder: Path
    settings: SmallBaseSettings
    say: Callable[[str], None]


class Saver:
    """Writes a stage's state now and then, by the clock."""

    def __init__(self, run: Run, path: Path) -> None:
        self._pause_s = run.settings.checkpoint_every_s
        self._path = path
        self._saved = time.monotonic()

    def save(self, state: TrainingState, last: bool) -> None:
        """Write the state when it is due, and at the end."""
        if last or time.monotonic() - self._saved > self._pause_s:
            state.save(self._path)
            self._saved = time.monotonic()


def rate_at(step: int, steps: int, rate: float, settings: SmallBaseSettings) -> float:
    """Return the learning rate: a warm-up, a plateau, a straight line down to almost nothing."""
    cool_down = max(1.0, steps * settings.cool_down_share)
    return rate * min((step + 1) / settings.warm_up_steps, (steps - step) / cool_down, 1.0)
