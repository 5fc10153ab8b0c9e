"""Measuring programs from outside: child processes, their wall time, peak memory, and what they print."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).parents[1]
#: How often a child's memory is looked at. The figure looked at only rises, so little is missed at the end.
MEMORY_INTERVAL_S = 0.2
GIB = 2**30


class NotMeasured(Exception):
    """A figure cannot be measured here; the message has the reason."""


@dataclass(frozen=True)
class Measurement:
    """A figure, and what else there is to know of it."""

    value: float
    note: str = ""


@dataclass(frozen=True)
class FinishedProcess:
    """A child process that ended well."""

    spawned_at: float  #: on the monotonic clock, which all processes share
    seconds: float
    peak_bytes: int  #: largest resident set of any process of its family; 0 where that cannot be read
    lines: tuple[str, ...] = field(repr=False)  #: of its output

    def read_json(self) -> dict[str, Any]:
        """Return the last line that is a JSON object."""
        for line in reversed(self.lines):
            if line.startswith("{"):
                document: dict[str, Any] = json.loads(line)
                return document
        raise NotMeasured("the program ended without saying its figures")


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    on_text: Callable[[str], None] | None = None,
) -> FinishedProcess:
    """Run a program to its end; NotMeasured, with its last line of error, when it fails or takes too long.

    `on_text` is given its error output as it comes: progress bars are drawn there.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        spawned_at = time.monotonic()
        try:
            process = subprocess.Popen(
                command, cwd=cwd, env=_environ(environ), stdout=output, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise NotMeasured(f"{command[0]} cannot be started: {error.strerror}") from error
        with _time_limit(process, timeout_s) as timeout_event, _track_memory(process) as memory:
            assert process.stderr is not None  # noqa: S101 - it was asked for as a pipe
            with process.stderr:
                errors = _read_tail(process.stderr, on_text)
            status = process.wait()
        if timeout_event.is_set():
            raise NotMeasured(f"it took longer than {timeout_s:.0f} s")
        if status != 0:
            raise NotMeasured(f"it ended with status {status}: {last_line(errors)}")
        output.seek(0)
        lines = tuple(output.read().splitlines())
    return FinishedProcess(spawned_at, time.monotonic() - spawned_at, memory.peak_bytes, lines)


def probe(
    name: str, *arguments: str, timeout_s: float, environ: Mapping[str, str] | None = None
) -> FinishedProcess:
    """Run one of the programs in `benchmarks/probes`."""
    command = [sys.executable, "-m", f"benchmarks.probes.{name}", *arguments]
    return run(command, timeout_s=timeout_s, environ=environ)


def _environ(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **(extra or {})}


def _read_tail(stream: IO[bytes], on_text: Callable[[str], None] | None) -> str:
    """Read to the end; return the tail, which has the error."""
    tail = ""
    while chunk := os.read(stream.fileno(), 65536):
        text = chunk.decode("utf-8", "replace")
        tail = (tail + text)[-4000:]
        if on_text is not None:
            on_text(text)
    return tail


def last_line(text: str) -> str:
    """Return the last line that is not empty; a progress bar overwrites its own line."""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"


@contextmanager
def _time_limit(process: subprocess.Popen[bytes], timeout_s: float) -> Iterator[threading.Event]:
    """Kill the process and its children when the time is over, or when we are interrupted."""
    timeout_event = threading.Event()

    def kill_process() -> None:
        timeout_event.set()
        _kill_family(process.pid)

    timer = threading.Timer(timeout_s, kill_process)
    timer.start()
    try:
        yield timeout_event
    finally:
        timer.cancel()
        if process.poll() is None:
            _kill_family(process.pid)
            process.wait()


def _kill_family(pid: int) -> None:
    for member in _family(pid):
        with suppress(psutil.NoSuchProcess):
            member.kill()


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@dataclass
class _PeakMemory:
    peak_bytes: int = 0


@contextmanager
def _track_memory(process: subprocess.Popen[bytes]) -> Iterator[_PeakMemory]:
    memory, end_event = _PeakMemory(), threading.Event()

    def sample_memory() -> None:
        while not end_event.wait(MEMORY_INTERVAL_S):
            for member in _family(process.pid):
                memory.peak_bytes = max(memory.peak_bytes, peak_bytes(member.pid))

    thread = threading.Thread(target=sample_memory, name="memory", daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        end_event.set()
        thread.join()


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory of a process in bytes; 0 where the system has no figure."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:  # it has just ended, or this is no Linux
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def gaps(times: Sequence[float]) -> tuple[float, ...]:
    """Return the differences of consecutive times, in seconds."""
    return tuple(end - start for start, end in pairwise(times))


def spread(values: Sequence[float]) -> str:
    """Write a median with how far its samples lie apart, in seconds."""
    median_s = statistics.median(values)
    return f"{median_s:.2f} s ({min(values):.2f}-{max(values):.2f}, n={len(values)})"
