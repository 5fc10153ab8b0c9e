"""A real worker at the end of a pipe: how soon it is ready, and how soon it takes its first step."""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from benchmarks.measure import gaps, last_words, peak_bytes
from benchmarks.work import photos
from gpu_worker.lora.file import read_metadata
from gpu_worker.protocol import (
    Answer,
    Done,
    Failed,
    Heartbeat,
    Message,
    Prepare,
    Progress,
    Ready,
    Shutdown,
    Train,
    decode_answer,
    encode,
    read_frame,
)


@dataclass
class Record:
    """What is told, in seconds."""

    said_ready_s: float = 0.0  #: from the start to the first frame
    ready_s: float = 0.0  #: from the start until the base model is loaded
    ahead_s: float = 0.0  #: from the fifth photo to the end of the first step, photos sent ahead
    ahead_steps_s: list[float] = field(default_factory=list)
    cold_s: float = 0.0  #: the same, with all five photos at once
    cold_steps_s: list[float] = field(default_factory=list)
    precision: str = ""  #: that it trained in: `no` is fp32
    peak_bytes: int = 0


class WorkerSilent(Exception):
    """The worker ended, or said for too long nothing that was waited for."""


class Worker:
    """A worker process and what it says, with the moment it arrived."""

    def __init__(self, process: subprocess.Popen[bytes], waits_s: float) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - asked for as pipes
        self._requests, self._waits_s = process.stdin, waits_s
        self._arrived: queue.SimpleQueue[tuple[float, Answer] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()

    def _listen(self, answers: IO[bytes]) -> None:
        while (body := read_frame(cast(BinaryIO, answers))) is not None:
            self._arrived.put((time.monotonic(), decode_answer(body)))
        self._arrived.put(None)

    def say(self, message: Message) -> None:
        """Send a request."""
        self._requests.write(encode(message))
        self._requests.flush()

    def answers(self, until: float | None = None) -> Iterator[tuple[float, Answer]]:
        """Yield what arrives; ends at `until` (monotonic), or WorkerSilent without one."""
        deadline = time.monotonic() + self._waits_s if until is None else until
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                arrived = self._arrived.get(timeout=left_s)
            except queue.Empty:
                break
            if arrived is None:
                raise WorkerSilent("the worker ended")
            yield arrived
        if until is None:
            raise WorkerSilent(f"the worker did not get there in {self._waits_s:.0f} s")


@contextmanager
def started(model: Path, waits_s: float) -> Iterator[tuple[Worker, int]]:
    """Start a worker on a model, and end it afterwards."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu_worker", "--base-model", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        worker = Worker(process, waits_s)
        try:
            yield worker, process.pid
            worker.say(Shutdown())
            process.wait(timeout=60)
        except WorkerSilent as error:
            log.seek(0)
            raise WorkerSilent(f"{error}: {last_words(log.read())}") from error
        finally:
            process.kill()
            process.wait()


def ready(worker: Worker, began: float) -> tuple[float, float]:
    """Wait until the base model is loaded; return the seconds to the first frame and to that."""
    said_s = 0.0
    for now, answer in worker.answers():
        if isinstance(answer, Ready):
            said_s = now - began
        elif isinstance(answer, Heartbeat) and answer.health.base_model_loaded:
            return said_s, now - began
    raise WorkerSilent("the worker never loaded its base model")


def send_ahead(worker: Worker, pictures: list[bytes], pause_s: float) -> None:
    """Send photos as a person does: one, a pause, the next; nothing of it is answered."""
    for picture in pictures:
        worker.say(Prepare(photo=picture))
        for _ in worker.answers(until=time.monotonic() + pause_s):
            pass  # heartbeats


def first_step(worker: Worker, request: Train) -> tuple[float, list[float], str]:
    """Train to the end; return the seconds to the first step, those of later steps, and the precision."""
    began = time.monotonic()
    worker.say(request)
    ends: list[float] = []
    for now, answer in worker.answers():
        if isinstance(answer, Progress) and answer.step > len(ends):
            ends.append(now)
        elif isinstance(answer, Failed):
            raise WorkerSilent(answer.reason)
        elif isinstance(answer, Done) and answer.lora is not None:
            return ends[0] - began, list(gaps(ends)), read_metadata(answer.lora)["ss_mixed_precision"]
    raise WorkerSilent("the training ended without a result")


def main() -> None:
    """Start a worker, measure, and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--pause-s", type=float, default=10.0, help="between two photos of a person")
    parser.add_argument("--only-ready", action="store_true")
    parser.add_argument("--waits-s", type=float, default=600.0)
    told, record, began = parser.parse_args(), Record(), time.monotonic()
    with started(told.model, told.waits_s) as (worker, pid):
        record.said_ready_s, record.ready_s = ready(worker, began)
        if not told.only_ready:
            sent = photos(told.side)
            send_ahead(worker, sent[:-1], told.pause_s)
            # The fifth photo completes the set: the bot sends it on, and the training after it.
            worker.say(Prepare(photo=sent[-1]))
            ahead = Train(job_id=1, attempt=1, photos=tuple(sent), steps=told.steps)
            record.ahead_s, record.ahead_steps_s, record.precision = first_step(worker, ahead)
            others = tuple(photos(told.side, person=2))
            cold = Train(job_id=2, attempt=1, photos=others, steps=told.steps)
            record.cold_s, record.cold_steps_s, _ = first_step(worker, cold)
        record.peak_bytes = peak_bytes(pid)
    print(json.dumps(asdict(record)))


if __name__ == "__main__":
    main()
