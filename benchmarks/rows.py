"""The rows of a benchmark: a figure, its goal, and whether the goal holds. Nothing is measured here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_RELATIONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


class GoalVerdict(Enum):
    """How a figure stands to its goal."""

    HOLDS = "holds"  #: the goal is met
    SHORT = "short"  #: it is missed
    NOT_MEASURED = "not-measured"  #: not possible here; the row's note has the reason


@dataclass(frozen=True)
class Goal:
    """A comparison that a figure should satisfy."""

    relation: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read a goal such as `<= 1.0`; ValueError when it is none."""
        # The longer signs first: `<=` also begins with `<`.
        for relation in sorted(_RELATIONS, key=len, reverse=True):
            if text.startswith(relation):
                return cls(relation, float(text.removeprefix(relation)))
        raise ValueError(f"{text!r} is no goal: it begins with none of {', '.join(_RELATIONS)}")

    def is_met_by(self, value: float) -> bool:
        """Return whether a figure meets the goal; NaN never does."""
        return bool(_RELATIONS[self.relation](value, self.bound))

    def __str__(self) -> str:
        """Write it without spaces, so that a line can be split at them."""
        return f"{self.relation}{self.bound:g}"


@dataclass(frozen=True)
class FigureRow:
    """One figure of the table."""

    name: str  #: as `ONLY` takes it
    what: str
    unit: str
    goal: Goal
    value: float | None  #: None: it was not measured
    note: str = ""  #: what else there is to know of it; why, when it was not measured

    @property
    def verdict(self) -> GoalVerdict:
        """Compare the figure, unrounded, with the goal."""
        if self.value is None:
            return GoalVerdict.NOT_MEASURED
        return GoalVerdict.HOLDS if self.goal.is_met_by(self.value) else GoalVerdict.SHORT

    def format_line(self) -> str:
        """Return the row as one line that other programs can read."""
        start = f"bench: {self.name} value={format_value(self.value)} goal={self.goal} {self.verdict.value}"
        return start if self.value is not None else f"{start} ({self.note})"


def format_value(value: float | None) -> str:
    """Write a figure with four significant digits; `-` for none."""
    return "-" if value is None else f"{value:.4g}"


def format_table(rows: Sequence[FigureRow]) -> str:
    """Return all rows for a person, in columns."""
    head = ("name", "value", "unit", "goal", "verdict", "what", "note")
    lines = [
        (row.name, format_value(row.value), row.unit, str(row.goal), row.verdict.value, row.what, row.note)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    formatted_lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, tuple("-" * width for width in widths), *lines)
    ]
    return "\n".join(formatted_lines)
