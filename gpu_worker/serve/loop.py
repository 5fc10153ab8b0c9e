"""The worker's main loop: read requests, advance jobs step by step, write events. Torch-free itself.

It has three threads. One reads requests. One, the only one that uses the GPU, advances the jobs. One writes
a heartbeat every second, also while a step or the loading of the base model takes long.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import BinaryIO, Protocol

from gpu_worker.device import cuda_errors
from gpu_worker.errors import BadInput, JobError, JobProblem
from gpu_worker.protocol import (
    VERSION,
    CancelledEvent,
    CancelRequest,
    Crop,
    DoneEvent,
    FailedEvent,
    ForgetRequest,
    GenerateRequest,
    PrefetchRequest,
    ProgressEvent,
    ReadyMessage,
    ShutdownRequest,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
    WorkerRequest,
)
from gpu_worker.serve.pipes import FrameWriter, HeartbeatThread, PipeClosed, read_requests
from gpu_worker.serve.prefetch import PrefetchQueue
from gpu_worker.serve.scheduler import GENERATE_SHARE, ScheduledJob, StepScheduler

log = logging.getLogger(__name__)

#: Least time between two progress events of a job; the last step's is always sent.
PROGRESS_INTERVAL_S = 0.5
#: What a person is told after an error that nobody foresaw.
UNEXPECTED_ERROR = BadInput(JobProblem.UNEXPECTED)
#: While idle, expired cache entries are dropped this often.
EVICT_INTERVAL_S = 60.0
#: Exit status after an error that leaves the GPU unusable for this process.
EXIT_DEVICE_LOST = 75


class Engine(Protocol):
    """Runs jobs. Each is a generator that yields after every step; closing it cancels the job."""

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        """Train a LoRA."""

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        """Generate pictures."""

    def preload(self) -> None:
        """Load the base model, so that the first job does not wait for it."""

    def prefetch(self, photo: bytes, crop: Crop | None) -> None:
        """Encode a photo, or a part of it, for a training that may follow."""

    def forget(self, photo_hashes: tuple[str, ...]) -> None:
        """Drop the latents of these photos, named by their SHA-256."""

    def evict_expired(self) -> None:
        """Drop expired cache entries; called now and then while idle."""

    def read_health(self) -> WorkerHealth:
        """Return the metrics of process and GPU; called from another thread, never raises."""


def serve(
    create_engine: Callable[[], Engine],
    initial_health: WorkerHealth,
    stdin: BinaryIO,
    stdout: BinaryIO,
    generate_share: float = GENERATE_SHARE,
) -> int:
    """Run until the input ends or a shutdown is requested; return the exit status.

    `generate_share` is the share of the time that generations may take from a training. `initial_health` is
    sent until the engine, which is slow to import, exists.
    """
    writer = FrameWriter(stdout)
    writer.write(ReadyMessage(version=VERSION, pid=os.getpid(), health=initial_health))
    requests: queue.SimpleQueue[WorkerRequest | None] = queue.SimpleQueue()
    threading.Thread(target=read_requests, args=(stdin, requests), name="reader", daemon=True).start()
    heartbeat = HeartbeatThread(writer, initial_health)
    heartbeat.start()
    try:
        return _WorkerLoop(create_engine, writer, requests, heartbeat, generate_share).run()
    finally:
        heartbeat.stop()


class _WorkerLoop:
    """The main thread: handles requests between steps, and advances the scheduled job."""

    def __init__(
        self,
        create_engine: Callable[[], Engine],
        writer: FrameWriter,
        requests: queue.SimpleQueue[WorkerRequest | None],
        heartbeat: HeartbeatThread,
        generate_share: float,
    ) -> None:
        self._create_engine = create_engine
        self._engine: Engine | None = None
        self._writer = writer
        self._requests = requests
        self._heartbeat = heartbeat
        self._scheduler: StepScheduler[WorkerEvent] = StepScheduler(generate_share)
        self._progress_sent_at: dict[tuple[int, int], float] = {}
        self._prefetch_queue = PrefetchQueue()
        self._has_just_prefetched = False

    def run(self) -> int:
        try:
            self._preload()
            while self._handle_requests():
                if self._prefetch_photo():
                    continue
                job = self._scheduler.next_job()
                if job is not None and not self._run_step(job):
                    return EXIT_DEVICE_LOST
        except PipeClosed:
            log.info("the bot closed the pipe; the worker stops")
        for job in self._scheduler.clear():
            job.steps.close()
        return 0

    def _preload(self) -> None:
        """Load the base model before the first job. Errors are logged here and reported by the first job."""
        try:
            self._get_engine().preload()
        except (JobError, OSError) as error:
            log.error("could not load the base model: %s", error)

    def _get_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._create_engine()
            self._heartbeat.read_health = self._engine.read_health
        return self._engine

    def _prefetch_photo(self) -> bool:
        """Encode one prefetched photo unless a generation waits; return False if a job is next.

        During a training, photos of the next one take turns with its steps.
        """
        self._has_just_prefetched = (
            bool(self._prefetch_queue)
            and not self._scheduler.has_generation
            and not (self._scheduler and self._has_just_prefetched)
        )
        if not self._has_just_prefetched:
            return False
        photo_request = self._prefetch_queue.pop()
        try:
            self._get_engine().prefetch(photo_request.photo, photo_request.crop)
        except JobError as error:
            log.info("could not prefetch a photo: %s", error)  # the training will report it
        except Exception as error:
            if cuda_errors.is_device_lost(error):
                raise
            log.exception("could not prefetch a photo")  # such as OOM during a training
        return True

    def _forget_photos(self, photo_hashes: tuple[str, ...]) -> None:
        self._prefetch_queue.forget(photo_hashes)
        if self._engine is not None:
            self._engine.forget(photo_hashes)

    def _handle_requests(self) -> bool:
        """Handle waiting requests; block only while there is no work. Return False to stop."""
        while True:
            try:
                request = self._next_request()
            except queue.Empty:
                return True
            match request:
                case None | ShutdownRequest():
                    return False
                case CancelRequest():
                    self._cancel_job((request.job_id, request.attempt))
                case TrainRequest() | GenerateRequest():
                    self._start_job(request)
                case PrefetchRequest():
                    self._prefetch_queue.add(request)
                case ForgetRequest():
                    self._forget_photos(request.photo_hashes)

    def _next_request(self) -> WorkerRequest | None:
        """Return the next request; queue.Empty if there is none and there is work.

        While idle it waits, and drops expired cache entries now and then.
        """
        while not self._scheduler:
            wait_s = self._prefetch_queue.remaining_grace_s() if self._prefetch_queue else EVICT_INTERVAL_S
            try:
                return self._requests.get(timeout=wait_s)
            except queue.Empty:
                if self._prefetch_queue:
                    raise
                if self._engine is not None:
                    self._engine.evict_expired()
        return self._requests.get_nowait()

    def _start_job(self, request: TrainRequest | GenerateRequest) -> None:
        if isinstance(request, TrainRequest):
            self._prefetch_queue.drop_training_photos(request.photos)
        is_generation = isinstance(request, GenerateRequest)
        self._scheduler.add(
            ScheduledJob((request.job_id, request.attempt), is_generation, self._run_job(request))
        )

    def _run_job(self, request: TrainRequest | GenerateRequest) -> Generator[WorkerEvent, None, None]:
        engine = self._get_engine()
        if isinstance(request, GenerateRequest):
            yield from engine.generate(request)
        else:
            yield from engine.train(request)

    def _cancel_job(self, key: tuple[int, int]) -> None:
        # None if the job has just ended, or if it is another attempt.
        job = self._scheduler.remove(key)
        if job is not None:
            job.steps.close()
            self._finish_job(job, CancelledEvent(job_id=key[0], attempt=key[1]))

    def _run_step(self, job: ScheduledJob[WorkerEvent]) -> bool:
        """Run one step of a job; return False if the GPU is unusable for this process."""
        job_id, attempt = job.key
        started_at = time.monotonic()
        try:
            event = next(job.steps)
            self._scheduler.record_step_time(job, time.monotonic() - started_at)
        except StopIteration:
            log.error("job %d ended without a result", job_id)
            self._finish_job(job, make_failed_event(job.key, UNEXPECTED_ERROR))
        except JobError as error:
            log.warning("job %d attempt %d failed: %s", job_id, attempt, error)
            self._finish_job(job, make_failed_event(job.key, error))
        except Exception as error:
            log.exception("job %d attempt %d: unexpected error", job_id, attempt)
            if cuda_errors.is_device_lost(error):
                return False
            self._finish_job(job, make_failed_event(job.key, UNEXPECTED_ERROR))
        else:
            self._handle_event(job, event)
        return True

    def _handle_event(self, job: ScheduledJob[WorkerEvent], event: WorkerEvent) -> None:
        if isinstance(event, DoneEvent | FailedEvent):
            job.steps.close()
            self._finish_job(job, event)
        elif isinstance(event, ProgressEvent):
            now = time.monotonic()
            last_sent_at = self._progress_sent_at.get(job.key, 0.0)
            if event.step >= event.steps or now - last_sent_at >= PROGRESS_INTERVAL_S:
                self._progress_sent_at[job.key] = now
                self._writer.write(event)
        else:
            self._writer.write(event)

    def _finish_job(self, job: ScheduledJob[WorkerEvent], final_event: WorkerEvent) -> None:
        self._scheduler.remove(job.key)
        self._progress_sent_at.pop(job.key, None)
        self._writer.write(final_event)


def make_failed_event(key: tuple[int, int], error: JobError) -> FailedEvent:
    """Return the event that ends the attempt `key` (job id and attempt) with an error."""
    job_id, attempt = key
    # What only the command line should meet has a sentence; people are pointed to the log.
    problem = error.problem or JobProblem.UNEXPECTED
    return FailedEvent(job_id=job_id, attempt=attempt, problem=problem, values=error.values)
