"""The worker's loop in this process, with streams that a test reads and writes."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

from gpu_worker.protocol import (
    DoneEvent,
    FailedEvent,
    GenerateRequest,
    HeartbeatMessage,
    ProtocolMessage,
    TrainRequest,
    WorkerHealth,
    WorkerMessage,
    decode_message,
    encode_frame,
)
from gpu_worker.serve.loop import Engine, serve

HEALTH = WorkerHealth(device="none", base_model="none", base_model_loaded=False, process_memory_bytes=0)


class BotStreams(io.RawIOBase):
    """The bot's end of both streams: asks, takes every answer, and hangs up when all jobs are done.

    It asks `first` at once, and `later` when `may_ask_more` is set.
    """

    def __init__(self, first: Sequence[ProtocolMessage], later: Sequence[ProtocolMessage] = ()) -> None:
        self._first, self._later = (
            io.BytesIO(b"".join(encode_frame(request) for request in requests)) for requests in (first, later)
        )
        self._jobs = sum(isinstance(request, TrainRequest | GenerateRequest) for request in (*first, *later))
        self.may_ask_more, self.all_asked, self._all_done = (threading.Event() for _ in range(3))
        self.answers: list[WorkerMessage] = []
        if not later:
            self.may_ask_more.set()
        if not self._jobs:
            self._all_done.set()

    def read(self, size: int = -1, /) -> bytes:
        """Read from the requests; after the last one, wait until the jobs are done."""
        if data := self._first.read(size):
            return data
        assert self.may_ask_more.wait(60)
        data = self._later.read(size)
        if not data:
            self.all_asked.set()
            assert self._all_done.wait(120)
        return data

    def write(self, frame: Any, /) -> int:
        """Take an answer."""
        answer = decode_message(bytes(frame)[4:])
        if not isinstance(answer, HeartbeatMessage):
            self.answers.append(answer)
        if sum(isinstance(each, DoneEvent | FailedEvent) for each in self.answers) == self._jobs:
            self._all_done.set()
        return len(frame)

    def flush(self) -> None:
        """There is nothing to flush."""


def serve_streams(engine: Engine, bot: BotStreams) -> list[WorkerMessage]:
    """Serve all requests of a bot and return the answers."""
    stream: Any = bot
    assert serve(lambda: engine, HEALTH, stream, stream) == 0
    return bot.answers
