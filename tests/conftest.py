"""Prints at the end what the proofs have shown."""

from __future__ import annotations

import pytest

from tests.proofs.frame import PROPERTY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the line of each proof that ran, here or in another process of this run."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = {
        value for each in reports for name, value in getattr(each, "user_properties", ()) if name == PROPERTY
    }
    for line in sorted(lines):
        terminalreporter.write_line(line)
