"""A test that times out or fails oddly is one failure and not the end of the run."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.variants import with_soak

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGALRM")

#: The alarm comes while a function without line numbers runs, as it does in the jump back of some loops.
LINELESS = """
import time

def busy(end):
    while time.monotonic() < end:
        pass

code, size = busy.__code__, len(busy.__code__.co_code) // 2
no_lines = b"".join(bytes([0x80 | 15 << 3 | min(8, size - at) - 1]) for at in range(0, size, 8))
busy.__code__ = code.replace(co_linetable=no_lines)

def test_slow():
    busy(time.monotonic() + 1)
    while True:
        time.sleep(0.01)

def test_next():
    pass
"""
#: The alarm comes while pytest formats another failure of the test, which takes long on a slow machine.
IN_REPORT = """
def test_slow():
    assert False, "another failure"

def test_next():
    pass
"""
#: Thousands of frames, whose values and whose error cannot be shown.
HUGE = """
class Unshowable(Exception):
    def __repr__(self):
        raise RuntimeError("no repr")
    __str__ = __repr__

def fall(depth, value):
    if not depth:
        raise Unshowable(value) from Unshowable(value)
    fall(depth - 1, value)

def test_huge():
    import sys
    sys.setrecursionlimit(20_000)
    fall(2_000, Unshowable())

def test_next():
    pass
"""
SLOW_REPORT = """
import time
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call):
    if call.excinfo is not None:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.01)
    return (yield)
"""


def run_pytest(folder: Path, tests: list[str], *options: str) -> str:
    """Run small files of tests with a time limit of half a second, and return what it printed."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n", "utf-8")
    for number, test in enumerate(tests):
        (own := folder / f"{number}").mkdir()
        (own / "test_small.py").write_text(test, "utf-8")
        if test is IN_REPORT:
            (own / "conftest.py").write_text(SLOW_REPORT, "utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_timeout", "--timeout=0.5", *options],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return result.stdout + result.stderr


@pytest.mark.parametrize("style", with_soak(["long", "short", "native"], kept=("short",)))
def test_a_timeout_in_an_odd_frame_is_one_failure(tmp_path: Path, style: str) -> None:
    output = run_pytest(tmp_path, [LINELESS, IN_REPORT], "-p", "tests.support.timeouts", f"--tb={style}")
    assert "INTERNALERROR" not in output
    assert "Timeout (>0.5s)" in output
    assert "another failure" in output
    assert "2 failed, 2 passed" in output


def test_a_huge_traceback_that_cannot_be_shown_is_one_failure(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, [HUGE], "-p", "tests.support.timeouts", "--timeout=100", *tb_style())
    assert "INTERNALERROR" not in output
    assert "1 failed, 1 passed" in output


def tb_style() -> list[str]:
    """Return how this project has tracebacks printed."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    return [option for option in options["addopts"].split() if option.startswith("--tb=")]


@pytest.mark.parametrize("test", [LINELESS, IN_REPORT], ids=["lineless", "in-report"])
def test_a_timeout_like_that_ends_the_run_without_the_plugin(tmp_path: Path, test: str) -> None:
    """The plugin can go once this test fails: then pytest copes by itself."""
    output = run_pytest(tmp_path, [test], "--tb=short")
    assert "INTERNALERROR" in output
    assert "1 passed" not in output


def test_the_plugin_guards_this_run(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.has_plugin("tests.support.timeouts")
