"""A worker that lies in one way until it is to be honest.

`bad_worker.py <lie> <folder>`: the lies are the methods below; in the folder it notes each life of its in
`lives`, and is honest once there is `honest`.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from pathlib import Path

from gpu_worker.protocol import (
    VERSION,
    DoneEvent,
    FailedEvent,
    FallbackCause,
    FallbackEvent,
    HeartbeatMessage,
    ProgressEvent,
    ProtocolMessage,
    ReadyMessage,
    StartedEvent,
    TrainRequest,
    WorkerHealth,
    decode_request,
    encode_frame,
    read_frame,
)

HEALTH = WorkerHealth(device="liar", base_model="liar", base_model_loaded=True, process_memory_bytes=1)
LENGTH_BYTES = 4
PAUSE_S = 0.01
#: A real worker takes longer; one that lied at once would be started again a hundred times.
START_S = 0.5


def main() -> None:
    """Lie, or serve."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    folder = Path(sys.argv[2])
    with (folder / "lives").open("ab") as lives:
        lives.write(b".")
    if (folder / "honest").exists():
        from gpu_worker.serve.loop import serve
        from tests.support.fake_worker import FakePerformer

        os._exit(serve(FakePerformer, HEALTH, sys.stdin.buffer, frames))
    try:
        Liar(frames).lie(sys.argv[1])
    except BrokenPipeError:
        os._exit(0)


class Liar:
    """Says what is not so."""

    def __init__(self, frames: object) -> None:
        self._frames = frames
        self._lock = threading.Lock()

    def say(self, *messages: ProtocolMessage) -> None:
        self.write(b"".join(encode_frame(message) for message in messages))

    def write(self, data: bytes) -> None:
        with self._lock:
            self._frames.write(data)
            self._frames.flush()

    def lie(self, what: str) -> None:
        if what in BEFORE_READY:
            time.sleep(START_S)
            getattr(self, what)()
        else:
            self.say(ReadyMessage(version=VERSION, pid=os.getpid(), health=HEALTH))
            if what == "deaf":
                self._beat_for_ever()
            job = self._job()
            if what != "silence":
                threading.Thread(target=self._beat_for_ever, daemon=True).start()
            getattr(self, what)(job)
        time.sleep(600)  # it is ended for its lie, not because it ended

    def _job(self) -> dict[str, int]:
        while True:
            body = read_frame(sys.stdin.buffer)
            if body is None:
                os._exit(0)
            request = decode_request(body)
            if isinstance(request, TrainRequest):
                return {"job_id": request.job_id, "attempt": request.attempt}

    def _beat_for_ever(self) -> None:
        while True:
            self.say(HeartbeatMessage(health=HEALTH))
            time.sleep(PAUSE_S)

    # --- lies before anything was asked ------------------------------------------------------------------

    def wrong_version(self) -> None:
        self.say(ReadyMessage(version=VERSION + 1, pid=os.getpid(), health=HEALTH))

    def not_ready(self) -> None:
        self.say(HeartbeatMessage(health=HEALTH))

    # --- lies about a job --------------------------------------------------------------------------------

    def garbage(self, job: dict[str, int]) -> None:
        self.write(b"\x00\x00\x01\x00" + bytes(range(256)))

    def text_that_is_none(self, job: dict[str, int]) -> None:
        frame = encode_frame(FailedEvent(**job, values={"name": "why"}))
        body = frame[LENGTH_BYTES:].replace(b"why", b"\xff\xfe\xfd")
        self.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)

    def ten_gigabytes(self, job: dict[str, int]) -> None:
        self.write(b"\xff\xff\xff\xff")
        for _ in range(10_000):
            self.write(bytes(2**20))

    def another_job(self, job: dict[str, int]) -> None:
        other = {**job, "job_id": job["job_id"] + 1}
        self.say(StartedEvent(**other, step=0, steps=3), DoneEvent(**other, lora=b"not yours"))

    def silence(self, job: dict[str, int]) -> None:
        self.say(StartedEvent(**job, step=0, steps=3))

    def hang(self, job: dict[str, int]) -> None:
        self.say(StartedEvent(**job, step=0, steps=3))

    def endless_progress(self, job: dict[str, int]) -> None:
        self.say(StartedEvent(**job, step=0, steps=3))
        while True:
            self.say(ProgressEvent(**job, step=1, steps=3))

    def more_steps_than_there_are(self, job: dict[str, int]) -> None:
        for step in itertools.count():
            self.say(ProgressEvent(**job, step=step, steps=3))

    def back_again_and_again(self, job: dict[str, int]) -> None:
        while True:
            self.say(
                ProgressEvent(**job, step=1, steps=3),
                FallbackEvent(**job, step=0, cause=FallbackCause.NOT_FINITE, memory_mode="float32"),
            )

    def nothing_done(self, job: dict[str, int]) -> None:
        self.say(StartedEvent(**job, step=0, steps=3), DoneEvent(**job))

    def a_book_for_a_reason(self, job: dict[str, int]) -> None:
        self.say(FailedEvent(**job, values={"name": "word " * 200_000}))

    def half_a_frame(self, job: dict[str, int]) -> None:
        self.write(encode_frame(DoneEvent(**job, lora=b"lora"))[:-2])
        os._exit(0)


BEFORE_READY = ("wrong_version", "not_ready")
LIES = (
    *BEFORE_READY,
    "deaf",
    "garbage",
    "text_that_is_none",
    "ten_gigabytes",
    "another_job",
    "silence",
    "hang",
    "endless_progress",
    "more_steps_than_there_are",
    "back_again_and_again",
    "nothing_done",
    "a_book_for_a_reason",
    "half_a_frame",
)

if __name__ == "__main__":
    main()
