"""One row of the table before it is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Finding, NotMeasured
from benchmarks.notebook import Notebook
from benchmarks.rows import Goal, Row


@dataclass(frozen=True)
class Figure:
    """One row before it is measured."""

    name: str
    what: str
    unit: str
    goal: Goal
    measure: Callable[[Notebook], Finding]

    def row(self, book: Notebook) -> Row:
        """Measure it; a failure becomes a row that says why there is no figure."""
        try:
            found = self.measure(book)
        except NotMeasured as failure:
            return Row(self.name, self.what, self.unit, self.goal, None, str(failure))
        return Row(self.name, self.what, self.unit, self.goal, found.value, found.note)


def figure(name: str, what: str, unit: str, goal: str, measure: Callable[[Notebook], Finding]) -> Figure:
    """Return a row with its goal as people write it."""
    return Figure(name, what, unit, Goal.parse(goal), measure)
