"""A pytest plugin: a test that times out is reported, whatever its alarm interrupts.

pytest-timeout raises in whichever frame runs when its alarm comes. Two kinds of frames end the whole run with
an INTERNALERROR, in every style of traceback:

- a frame of pytest itself, which formats another failure of the test at that moment;
- a frame at an instruction without a line number, such as the jump back of some loops. Its traceback has
  `tb_lineno=None`, and pytest computes with it.

So the alarm that comes at such a moment is put off.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from types import FrameType

import pytest

RETRY_S = 0.01
_IS_IN_TEST = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Allow the alarm while fixtures are set up."""
    yield from _allow_alarm(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Allow the alarm while the test runs."""
    yield from _allow_alarm(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Allow the alarm while fixtures are torn down."""
    yield from _allow_alarm(item)


def _allow_alarm(item: pytest.Item) -> Generator[None]:
    item.stash[_IS_IN_TEST] = True
    try:
        return (yield)
    finally:
        item.stash[_IS_IN_TEST] = False


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item) -> Generator[None, object, object]:
    """Put a handler before pytest-timeout's that puts the alarm off where it would end the run."""
    result = yield
    # Windows has no such signal, and only the main thread may handle one: there pytest-timeout uses a thread.
    if hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread():
        fail_test = signal.getsignal(signal.SIGALRM)
        if callable(fail_test):

            def handle_alarm(number: int, frame: FrameType | None) -> None:
                __tracebackhide__ = True
                if item.stash.get(_IS_IN_TEST, False) and frame is not None and frame.f_lineno is not None:
                    fail_test(number, frame)
                else:
                    signal.setitimer(signal.ITIMER_REAL, RETRY_S)

            signal.signal(signal.SIGALRM, handle_alarm)
    return result
