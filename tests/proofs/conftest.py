"""Gives each proof its row, and prints the lines of all of them at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs.frame import Proof

LINES: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Iterator[Proof]:
    """The verdict of the row that the module is named after: `test_r6_pictures.py` proves R6."""
    row = request.path.stem.split("_")[1].upper()
    lines = request.config.stash.setdefault(LINES, [])
    verdict = Proof(row, lines.append)
    yield verdict
    verdict.ended()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the lines of the proofs that ran."""
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
