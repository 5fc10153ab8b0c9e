"""One row of the table before it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Measurement, NotMeasured
from benchmarks.notebook import RunCache
from benchmarks.rows import FigureRow, Goal


@dataclass(frozen=True)
class FigureSpec:
    """One row before it is measured."""

    name: str
    what: str
    unit: str
    goal: Goal
    measure: Callable[[RunCache], Measurement]
    needs_model: bool = True  #: the one of full size, which takes long to build

    def measure_row(self, run_cache: RunCache) -> FigureRow:
        """Measure the figure; a failure becomes a row with its reason."""
        try:
            measurement = self.measure(run_cache)
        except NotMeasured as error:
            return FigureRow(self.name, self.what, self.unit, self.goal, None, str(error))
        return FigureRow(self.name, self.what, self.unit, self.goal, measurement.value, measurement.note)


def make_figure(
    name: str,
    what: str,
    unit: str,
    goal: str,
    measure: Callable[[RunCache], Measurement],
    needs_model: bool = True,
) -> FigureSpec:
    """Return a row with its goal as people write it."""
    return FigureSpec(name, what, unit, Goal.parse(goal), measure, needs_model)
