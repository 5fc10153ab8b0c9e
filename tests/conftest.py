"""Before anything imports torch, here or in a worker that a test starts; and what the proofs have shown."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.proofs.verdict import PROPERTY
from tests.support import timeouts

# Small models gain little from a second thread, and threads that wait for each other actively on a busy
# machine make everything many times slower; the suite uses the cores by running files side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: A commit waits 5 ms for a disk and nothing for memory, and the tests make tens of thousands.
RAM_DISK, ENOUGH_BYTES = Path("/dev/shm"), 4 * 2**30


def has_ram_disk() -> bool:
    """Return whether there is a file system in memory that is large enough, and may hold programs."""
    if not RAM_DISK.is_dir() or not os.access(RAM_DISK, os.W_OK):
        return False
    status = os.statvfs(RAM_DISK)
    is_large = status.f_bavail * status.f_frsize > ENOUGH_BYTES
    return is_large and not status.f_flag & os.ST_NOEXEC


if has_ram_disk():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(RAM_DISK))


def pytest_configure(config: pytest.Config) -> None:
    """Have each test that times out reported."""
    config.pluginmanager.register(timeouts, timeouts.__name__)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what is imported and collected out of the garbage collector's walks.

    It is a million objects. Walks take a third of the collection's time, and later most of a second each: one
    for each training that falls back.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the line of each proof that ran, here or in another process of this run."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [told for report in reports for told in getattr(report, "user_properties", ())]
    for line in sorted({value for name, value in properties if name == PROPERTY}):
        terminalreporter.write_line(line)


#: They take longest, so they come first: none is the last one to end where files run side by side.
SLOW = (
    "tests/acceptance/",
    "tests/proofs/",
    "tests/bot/jobs/test_backend_contract.py",
    "tests/bot/media/test_decoding.py",
    "tests/gpu_worker/generation/",
    "tests/gpu_worker/models/test_base_model.py",
    "tests/gpu_worker/models/test_small_base.py",
    "tests/gpu_worker/training/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow files first; apart from that the order stays."""
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))
