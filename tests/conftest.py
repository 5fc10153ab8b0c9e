"""Before anything imports torch, here or in a worker that a test starts; and what the proofs have shown."""

from __future__ import annotations

import os

import pytest

from tests.proofs.frame import PROPERTY

# Small models gain little from a second thread, and threads that wait for each other actively on a busy
# machine make everything many times slower; the suite uses the cores by running files side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the line of each proof that ran, here or in another process of this run."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [told for report in reports for told in getattr(report, "user_properties", ())]
    for line in sorted({value for name, value in properties if name == PROPERTY}):
        terminalreporter.write_line(line)
