"""The frame of the proofs: how large each form is, and the one line that each row ends with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

LONG_TIMEOUT_S = 6 * 3600
#: The property of a test that holds its line.
PROPERTY = "proof"


def forms(name: str, short: object, long: object) -> pytest.MarkDecorator:
    """Run a proof in two sizes: `short` in `make test`, `long` in `make soak`."""
    marks = (pytest.mark.soak, pytest.mark.timeout(LONG_TIMEOUT_S))
    return pytest.mark.parametrize(
        name, [pytest.param(short, id="short"), pytest.param(long, id="long", marks=marks)]
    )


@dataclass
class Proof:
    """One row's verdict; `tell` takes the finished line."""

    row: str
    tell: Callable[[str], None]
    _said: bool = field(default=False, init=False)

    def concludes(self, figures: str, shortfalls: Iterable[str] = (), known: Iterable[str] = ()) -> None:
        """Tell the row's line; the test fails when anything fell short.

        What is `known` is short too, and fails nothing: docs/operations.md says why it cannot be otherwise.
        """
        short = list(shortfalls)
        self._line(figures, "short" if [*short, *known] else "holds")
        assert not short, f"{len(short)} times: " + "; ".join(short[:10])

    def ended(self) -> None:
        """Tell of a proof that broke off before it came to its figures."""
        if not self._said:
            self._line("broke off without figures", "short")

    def _line(self, figures: str, verdict: str) -> None:
        self._said = True
        self.tell(f"proof: {self.row} {figures} {verdict}")
