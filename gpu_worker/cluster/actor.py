"""What runs on a node: the worker process that runs on one machine, behind a Ray actor. Ray-free itself."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from typing import IO

from gpu_worker.protocol import frame_length

_PR_SET_PDEATHSIG = 1
#: How long a frame waits for the worker process to be started.
START_TIMEOUT_S = 60.0


class RemoteWorker:
    """Owns one worker process on its node: `send_frame` writes its frames, `run_worker` yields them.

    It is not detached and not restarted by Ray: an attempt whose stream broke is lost, and the bot retries.
    """

    def __init__(self) -> None:
        """Create it without a process."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started_event = threading.Event()

    def run_worker(self, arguments: list[str]) -> Generator[bytes, None, None]:
        """Run the worker, this Python with `arguments`, and yield its frames until it ends."""
        # Started by the thread that reads it: Linux kills it when that thread ends, however we die.
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=strip_secrets(dict(os.environ)),
            preexec_fn=_die_with_parent,
        )
        self._process = process
        self._started_event.set()
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
            while (frame := _read_frame(process.stdout)) is not None:
                yield frame
        finally:
            process.kill()
            process.wait()

    def send_frame(self, frame: bytes) -> bool:
        """Write a frame to the worker; return False if it has ended."""
        if (
            not self._started_event.wait(START_TIMEOUT_S)
            or self._process is None
            or self._process.stdin is None
        ):
            return False
        try:
            self._process.stdin.write(frame)
            self._process.stdin.flush()
        except (OSError, ValueError):  # the latter: `end` has closed it
            return False
        return True

    def close_input(self) -> None:
        """Close the worker's input: it finishes its step and ends."""
        if self._process is not None and self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                return  # it has ended already


def strip_secrets(environ: dict[str, str]) -> dict[str, str]:
    """Leave tokens out, the cluster's too; but the hub's, without which a gated base model does not come."""
    return {name: value for name, value in environ.items() if "TOKEN" not in name or name == "HF_TOKEN"}


def _read_frame(stream: IO[bytes]) -> bytes | None:
    header = stream.read(4)
    if len(header) < 4:
        return None
    body = stream.read(frame_length(header))
    return header + body  # a torn one is found at the other end


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
