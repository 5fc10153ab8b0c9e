"""A program that runs beside the worker: its output read as it comes, its whole group ended when asked.

Torch-free.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

#: How long a program may take to end after it was asked to, before it is killed.
TERMINATE_GRACE_S = 3.0
#: How long the last of its output may take to arrive after its end.
_DRAIN_TIMEOUT_S = 2.0
_CHUNK_BYTES = 65536
#: A line without an end is cut to this, so that noise cannot fill the memory.
_MAX_LINE_CHARS = 4000
_LINE_END = re.compile(r"[\r\n]+")


class ExternalProcess:
    """A running program, in a session of its own so that its children can be ended with it."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> None:
        """Start it. `on_line` is called from another thread. Raises OSError if it cannot be started."""
        self._process = subprocess.Popen(  # noqa: S603 - the operator's own program, no shell
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - it was asked for as a pipe
        self._output = self._process.stdout
        self._on_line = on_line
        self._output_event = threading.Event()
        self._last_output_at = time.monotonic()
        self._reader = threading.Thread(target=self._read_output, name="sd-scripts output", daemon=True)
        self._reader.start()

    @property
    def silence_s(self) -> float:
        """Seconds since its last output."""
        return time.monotonic() - self._last_output_at

    def wait(self, timeout_s: float) -> int | None:
        """Wait for output or the end; return the exit status once it has ended."""
        self._output_event.wait(timeout_s)
        self._output_event.clear()
        return self._process.poll()

    def close(self) -> None:
        """End the program and its children, and read the rest of its output."""
        if self._process.poll() is None:
            self._signal_group(is_kill=False)
            try:
                self._process.wait(TERMINATE_GRACE_S)
            except subprocess.TimeoutExpired:
                log.warning("sd-scripts did not stop in time and is killed")
        # Also after it has ended by itself: children may have stayed.
        self._signal_group(is_kill=True)
        self._process.wait()
        self._reader.join(_DRAIN_TIMEOUT_S)
        if self._reader.is_alive():
            log.warning("a child process of sd-scripts still holds its output open")
        else:
            self._output.close()

    def _signal_group(self, is_kill: bool) -> None:
        if os.name != "posix":  # no groups of processes there
            self._process.kill()
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL if is_kill else signal.SIGTERM)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of a group that has ended
            log.debug("the group of sd-scripts has ended already")

    def _read_output(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        partial_line = ""
        while chunk := os.read(self._output.fileno(), _CHUNK_BYTES):
            self._last_output_at = time.monotonic()
            *lines, partial_line = _LINE_END.split(partial_line + decoder.decode(chunk))
            partial_line = partial_line[-_MAX_LINE_CHARS:]
            self._emit_lines(lines)
        self._emit_lines([partial_line])

    def _emit_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line.strip():
                self._on_line(line.rstrip()[-_MAX_LINE_CHARS:])
        self._output_event.set()
