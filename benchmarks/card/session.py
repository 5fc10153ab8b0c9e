"""A worker on the card as people meet it: its start, its first four pictures, a cancelled training."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import NotMeasured
from benchmarks.probes.worker import WorkerClient, WorkerTimeout, start_worker, wait_until_ready
from benchmarks.work import sample_person_photos
from gpu_worker.protocol import (
    CancelledEvent,
    CancelRequest,
    DoneEvent,
    FailedEvent,
    GenerateRequest,
    ProgressEvent,
    TrainRequest,
    WorkerMessage,
)

_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class SessionTimes:
    """Times in seconds."""

    wake_up_s: float  #: from the worker's start until the base model is loaded
    first_pictures_s: float  #: the first `--n 4`, with all that is tried and searched in it
    second_pictures_s: float  #: the same again
    cancel_s: float  #: from the cancel of a training to the worker's word for it


def time_session(model: Path, side_px: int, steps: int = 25) -> SessionTimes:
    """Start a worker, draw twice, cancel a training; NotMeasured if it fails."""
    started_at = time.monotonic()
    try:
        with start_worker(model, _TIMEOUT_S) as (worker, _):
            _, wake_up_s = wait_until_ready(worker, started_at)
            pictures_s = [_time_pictures(worker, job_id, side_px, steps) for job_id in (1, 2)]
            return SessionTimes(wake_up_s, pictures_s[0], pictures_s[1], _time_cancel(worker, side_px))
    except WorkerTimeout as error:
        raise NotMeasured(str(error)) from error


def _time_pictures(worker: WorkerClient, job_id: int, side_px: int, steps: int) -> float:
    sent_at = time.monotonic()
    request = GenerateRequest(
        job_id=job_id,
        attempt=1,
        prompt="a person",
        seed=1,
        count=4,
        width_px=side_px,
        height_px=side_px,
        steps=steps,
    )
    worker.send(request)
    return _wait_for(worker, DoneEvent) - sent_at


def _time_cancel(worker: WorkerClient, side_px: int) -> float:
    photos = tuple(sample_person_photos(side_px))
    worker.send(TrainRequest(job_id=3, attempt=1, photos=photos, steps=1000))
    _wait_for(worker, ProgressEvent)
    sent_at = time.monotonic()
    worker.send(CancelRequest(job_id=3, attempt=1))
    return _wait_for(worker, CancelledEvent) - sent_at


def _wait_for(worker: WorkerClient, kind: type[WorkerMessage]) -> float:
    """Return when a message of this kind arrived."""
    for arrived_at, message in worker.iter_messages():
        if isinstance(message, kind):
            return arrived_at
        if isinstance(message, FailedEvent):
            raise WorkerTimeout(f"{message.problem} {message.values}")
    raise WorkerTimeout("the worker ended")
