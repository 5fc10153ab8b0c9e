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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from benchmarks.measure import gaps, last_line, peak_bytes
from benchmarks.work import sample_person_photos
from bot.core.photos import StoredPhoto
from gpu_worker.lora.file import read_metadata
from gpu_worker.protocol import (
    DoneEvent,
    FailedEvent,
    HeartbeatMessage,
    PrefetchRequest,
    ProgressEvent,
    ProtocolMessage,
    ReadyMessage,
    ShutdownRequest,
    TrainRequest,
    WorkerMessage,
    decode_message,
    encode_frame,
    read_frame,
)


@dataclass
class WorkerTimings:
    """The result, in seconds."""

    said_ready_s: float = 0.0  #: from the start to the first frame
    ready_s: float = 0.0  #: from the start until the base model is loaded
    ahead_s: float = 0.0  #: from the fifth photo to the end of the first step, photos sent ahead
    ahead_steps_s: list[float] = field(default_factory=list)
    cold_s: float = 0.0  #: the same, with all five photos at once
    cold_steps_s: list[float] = field(default_factory=list)
    precision: str = ""  #: that it trained in: `no` is fp32
    peak_bytes: int = 0


class WorkerTimeout(Exception):
    """The worker ended, or did not send an expected message in time."""


class WorkerClient:
    """A worker process and its messages with their times of arrival."""

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - asked for as pipes
        self._requests, self._timeout_s = process.stdin, timeout_s
        self._message_queue: queue.SimpleQueue[tuple[float, WorkerMessage] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=self._read_messages, args=(process.stdout,), name="answers", daemon=True
        )
        self._reader.start()

    def _read_messages(self, answers: IO[bytes]) -> None:
        with answers:
            while (body := read_frame(cast(BinaryIO, answers))) is not None:
                self._message_queue.put((time.monotonic(), decode_message(body)))
        self._message_queue.put(None)

    def send(self, message: ProtocolMessage) -> None:
        """Send a request."""
        self._requests.write(encode_frame(message))
        self._requests.flush()

    def close(self) -> None:
        """Close the pipes of a worker that has ended."""
        with suppress(BrokenPipeError):  # what was not read is lost
            self._requests.close()
        self._reader.join()

    def iter_messages(self, deadline_s: float | None = None) -> Iterator[tuple[float, WorkerMessage]]:
        """Yield what arrives; ends at `until` (monotonic), or WorkerSilent without one."""
        deadline = time.monotonic() + self._timeout_s if deadline_s is None else deadline_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                entry = self._message_queue.get(timeout=left_s)
            except queue.Empty:
                break
            if entry is None:
                raise WorkerTimeout("the worker ended")
            yield entry
        if deadline_s is None:
            raise WorkerTimeout(f"the worker did not get there in {self._timeout_s:.0f} s")


@contextmanager
def start_worker(model: Path, timeout_s: float) -> Iterator[tuple[WorkerClient, int]]:
    """Start a worker on a model, and end it afterwards."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu_worker", "--base-model", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        worker = WorkerClient(process, timeout_s)
        try:
            yield worker, process.pid
            worker.send(ShutdownRequest())
            process.wait(timeout=60)
        except WorkerTimeout as error:
            log.seek(0)
            raise WorkerTimeout(f"{error}: {last_line(log.read())}") from error
        finally:
            process.kill()
            process.wait()
            worker.close()


def wait_until_ready(worker: WorkerClient, started_at: float) -> tuple[float, float]:
    """Wait until the base model is loaded; return the seconds to the first frame and to that."""
    said_s = 0.0
    for now, message in worker.iter_messages():
        if isinstance(message, ReadyMessage):
            said_s = now - started_at
        elif isinstance(message, HeartbeatMessage) and message.health.base_model_loaded:
            return said_s, now - started_at
    raise WorkerTimeout("the worker never loaded its base model")


def send_prefetch(worker: WorkerClient, pictures: list[bytes], pause_s: float) -> None:
    """Send photos as a person does: one, a pause, the next; nothing of it is answered."""
    for picture in pictures:
        worker.send(PrefetchRequest(photo=picture, photo_hash=StoredPhoto.from_data(picture).data_sha256))
        for _ in worker.iter_messages(deadline_s=time.monotonic() + pause_s):
            pass  # heartbeats


def time_training(worker: WorkerClient, request: TrainRequest) -> tuple[float, list[float], str]:
    """Train to the end; return the seconds to the first step, those of later steps, and the precision."""
    started_at = time.monotonic()
    worker.send(request)
    ends: list[float] = []
    for now, message in worker.iter_messages():
        if isinstance(message, ProgressEvent) and message.step > len(ends):
            ends.append(now)
        elif isinstance(message, FailedEvent):
            raise WorkerTimeout(f"{message.problem} {message.values}")
        elif isinstance(message, DoneEvent) and message.lora is not None:
            return ends[0] - started_at, list(gaps(ends)), read_metadata(message.lora)["ss_mixed_precision"]
    raise WorkerTimeout("the training ended without a result")


def main() -> None:
    """Start a worker, measure, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--pause-s", type=float, default=10.0, help="between two photos of a person")
    parser.add_argument("--only-ready", action="store_true")
    parser.add_argument("--waits-s", type=float, default=600.0)
    args, record, started_at = parser.parse_args(), WorkerTimings(), time.monotonic()
    with start_worker(args.model, args.waits_s) as (worker, pid):
        record.said_ready_s, record.ready_s = wait_until_ready(worker, started_at)
        if not args.only_ready:
            prefetched_photos = sample_person_photos(args.side)
            send_prefetch(worker, prefetched_photos[:-1], args.pause_s)
            # The fifth photo completes the set: the bot sends it on, and the training after it.
            send_prefetch(worker, prefetched_photos[-1:], 0.0)
            prefetched_request = TrainRequest(
                job_id=1, attempt=1, photos=tuple(prefetched_photos), steps=args.steps
            )
            record.ahead_s, record.ahead_steps_s, record.precision = time_training(worker, prefetched_request)
            cold_photos = tuple(sample_person_photos(args.side, person=2))
            cold_request = TrainRequest(job_id=2, attempt=1, photos=cold_photos, steps=args.steps)
            record.cold_s, record.cold_steps_s, _ = time_training(worker, cold_request)
        record.peak_bytes = peak_bytes(pid)
    print(json.dumps(asdict(record)))


if __name__ == "__main__":
    main()
