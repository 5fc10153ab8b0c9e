"""The worker's two pipes to the bot: requests are read and heartbeats are written by threads of their own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import BinaryIO

from gpu_worker.errors import ProtocolError, WorkerError
from gpu_worker.protocol import (
    HeartbeatMessage,
    ProtocolMessage,
    WorkerHealth,
    WorkerRequest,
    decode_request,
    encode_frame,
    read_frame,
)

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_S = 1.0


class PipeClosed(WorkerError):
    """The bot no longer reads."""


class FrameWriter:
    """Writes whole frames from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: ProtocolMessage) -> None:
        """Write a message; PipeClosed if the bot is gone."""
        frame = encode_frame(message)
        try:
            with self._lock:
                self._stream.write(frame)
                self._stream.flush()
        except OSError as error:
            raise PipeClosed(str(error)) from error


def read_requests(stream: BinaryIO, requests: queue.SimpleQueue[WorkerRequest | None]) -> None:
    """Put every request into a queue; None when the stream ends or is not understood."""
    try:
        while (body := read_frame(stream)) is not None:
            requests.put(decode_request(body))
    except (ProtocolError, OSError):
        log.exception("could not read a request of the bot")
    requests.put(None)  # the bot is gone: stop


class HeartbeatThread:
    """Writes the heartbeat."""

    def __init__(self, writer: FrameWriter, health: WorkerHealth) -> None:
        self._writer = writer
        self._stop_event = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True)
        self.read_health: Callable[[], WorkerHealth] = lambda: health

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for its end."""
        self._stop_event.set()
        self._thread.join()

    def _send_heartbeats(self) -> None:
        while not self._stop_event.wait(HEARTBEAT_INTERVAL_S):
            try:
                self._writer.write(HeartbeatMessage(health=self.read_health()))
            except PipeClosed:  # the reader thread has seen that too
                return
