"""Claim queued jobs, run each on a worker, and record what comes back.

`run` starts consumers; each claims jobs (`_process_jobs`) and runs one attempt at a time (`_run_attempt`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from itertools import chain, repeat

from bot.core.errors import WorkerLost
from bot.core.jobs import MAX_CONCURRENT_GENERATIONS, Job, JobFailure, JobId, JobKind, JobStatus
from bot.core.logging import log_context
from bot.core.photos import StoredPhoto
from bot.db import Database
from bot.jobs.backends.base import GpuBackend
from bot.jobs.events import EventRecorder, JobListener
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.locks import SharedExclusiveLock
from bot.jobs.requests import MissingInput, RequestBuilder
from bot.jobs.results import StaleAttempt
from bot.jobs.styles import Styles
from bot.media.storage import Storage
from gpu_worker.protocol import Crop, PrefetchRequest, WorkerHealth

log = logging.getLogger(__name__)

#: Pause before a lost job is tried again, times the number of its losses; a worker needs time to come back.
RETRY_BACKOFF_S = 0.2
#: A generation that lost its worker so often is drawn without others beside it: the next time it is its own
#: fault, and others are not failed by a neighbour.
EXCLUSIVE_AFTER_LOSSES = 2
#: Photos that wait to be sent ahead of their trainings.
MAX_PREFETCH_PHOTOS = 100
#: Jobs of a kind that are with one worker at the same time. It draws what waits together, and hands the card
#: over between the steps of a training.
CONCURRENCY_PER_WORKER = {JobKind.TRAIN: 1, JobKind.GENERATE: MAX_CONCURRENT_GENERATIONS}


class Dispatcher:
    """Runs a few consumers per kind, so that generations run beside a training on the same card."""

    def __init__(
        self,
        database: Database,
        backend: GpuBackend,
        storage: Storage,
        listener: JobListener,
        styles: Styles,
        likeness_scorer: LikenessScorer | None = None,
        face_mask: bool = False,
        stop_early: bool = False,
        retry_backoff_s: float = RETRY_BACKOFF_S,
    ) -> None:
        self._database = database
        self._backend = backend
        self._storage = storage
        self._listener = listener
        self._retry_backoff_s = retry_backoff_s
        self._request_builder = RequestBuilder(database, storage, styles, face_mask)
        self._recorder = EventRecorder(
            database, storage, listener, likeness_scorer or LikenessScorer(None), stop_early
        )
        # Only wake-ups: the jobs themselves are rows of the database.
        self._wake_events = {kind: asyncio.Event() for kind in JobKind}
        self._shutdown_event = asyncio.Event()
        self._attempt_tasks: dict[JobId, asyncio.Task[None]] = {}
        self._exclusion_locks = {kind: SharedExclusiveLock() for kind in JobKind}
        # Photos for the worker to encode while their person still sends others, and such to forget.
        self._prefetch_queue: asyncio.Queue[PrefetchRequest | tuple[str, ...]] = asyncio.Queue(
            MAX_PREFETCH_PHOTOS
        )
        self._consumer_counts = dict.fromkeys(JobKind, 0)
        self._busy_counts = dict.fromkeys(JobKind, 0)  # consumers that have a job, or are about to claim one
        self._consumer_group: asyncio.TaskGroup | None = None
        backend.subscribe(self._on_workers_changed)

    def wake(self) -> None:
        """Note that the database has a new job."""
        for event in self._wake_events.values():
            event.set()

    def request_shutdown(self) -> None:
        """Claim no further job; `run` ends when the running attempts have ended."""
        self._shutdown_event.set()
        self.wake()

    def health(self) -> WorkerHealth | None:
        """Return what the worker last reported about itself; None while there is none."""
        return self._backend.health()

    def prefetch(self, photos: Iterable[StoredPhoto], crops: Iterable[Crop | None] = ()) -> None:
        """Queue photos of a set that is being collected for encoding; they may be skipped."""
        for photo, crop in zip(photos, chain(crops, repeat(None)), strict=False):
            try:
                self._prefetch_queue.put_nowait(
                    PrefetchRequest(photo=photo.data, photo_hash=photo.data_sha256, crop=crop)
                )
            except asyncio.QueueFull:
                log.info("the prefetch queue is full: photos are encoded when their training starts")
                return

    def forget(self, photo_hashes: Sequence[str]) -> None:
        """Queue an order to the worker to forget photos, named by the SHA-256 of their bytes."""
        hashes = tuple(photo_hashes)
        # Encoding may be skipped, forgetting may not: photos that still wait make room for it.
        while hashes and self._prefetch_queue.full():
            dropped_item = self._prefetch_queue.get_nowait()
            if not isinstance(dropped_item, PrefetchRequest):
                hashes = (*dropped_item, *hashes)
        if hashes:
            self._prefetch_queue.put_nowait(hashes)

    async def abort_job(self, job_id: JobId) -> None:
        """Cancel the running attempt of a job, if there is one, and wait for its end."""
        task = self._attempt_tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._storage.delete_work(job_id)
        self._listener.on_job_changed(job_id)

    def notify_changed(self, job_id: JobId) -> None:
        """Note that the message which shows a job is out of date."""
        self._listener.on_job_changed(job_id)

    async def run(self) -> None:
        """Run jobs until cancelled, or until a requested shutdown is complete.

        A cancel closes the running attempts; the next start resumes them.
        """
        released_count = await self._database.jobs.requeue_running()
        if released_count:
            log.info("requeued %d jobs left running by the previous process", released_count)
        self.wake()
        async with asyncio.TaskGroup() as side_tasks:
            prefetch_task = side_tasks.create_task(self._run_prefetch(), name="photos-ahead")
            async with asyncio.TaskGroup() as consumers:
                self._consumer_group, self._consumer_counts = consumers, dict.fromkeys(JobKind, 0)
                self._start_consumers()
                try:
                    await self._shutdown_event.wait()
                finally:
                    self._consumer_group = None  # at once: a group that is being left takes no further tasks
            prefetch_task.cancel()

    async def drain(self) -> None:
        """Run the jobs that are queued now, then return."""
        async with asyncio.TaskGroup() as consumers:
            for kind in JobKind:
                for number in range(self._capacity(kind)):
                    consumers.create_task(self._process_jobs(kind), name=f"drain-{kind}-{number}")

    def _capacity(self, kind: JobKind) -> int:
        return CONCURRENCY_PER_WORKER[kind] * self._backend.worker_count()

    def _on_workers_changed(self) -> None:
        if not self._shutdown_event.is_set():
            self._start_consumers()
            self.wake()

    def _start_consumers(self) -> None:
        """Start one consumer task per free worker slot. Tasks of departed workers stay idle."""
        if self._consumer_group is None:
            return
        for kind in JobKind:
            for number in range(self._consumer_counts[kind], max(1, self._capacity(kind))):
                self._consumer_group.create_task(self._run_consumer(kind), name=f"dispatch-{kind}-{number}")
                self._consumer_counts[kind] = number + 1

    async def _run_prefetch(self) -> None:
        while True:
            item = await self._prefetch_queue.get()
            if isinstance(item, PrefetchRequest):
                await self._backend.prefetch(item)
            else:
                await self._backend.forget(item)

    async def _run_consumer(self, kind: JobKind) -> None:
        wake_event = self._wake_events[kind]
        while not self._shutdown_event.is_set():
            await wake_event.wait()
            wake_event.clear()  # before the queue is read, so that a job that comes meanwhile sets it again
            await self._process_jobs(kind)

    async def _process_jobs(self, kind: JobKind) -> None:
        """Run queued jobs of a kind, one after another, until none waits or the workers are full."""
        while not self._shutdown_event.is_set() and self._busy_counts[kind] < self._capacity(kind):
            # Counted before the claim, so that no more are claimed than workers can take.
            self._busy_counts[kind] += 1
            try:
                if (job := await self._database.jobs.claim_next(kind)) is None:
                    return
                self._wake_events[kind].set()  # there may be more, for another consumer
                await self._process_job(job)
            finally:
                self._busy_counts[kind] -= 1

    async def _process_job(self, job: Job) -> None:
        """Run an attempt at a job in a task of its own, which `abort_job` can cancel."""
        task = asyncio.create_task(self._run_attempt(job), name=f"attempt-{job.id}.{job.attempt}")
        self._attempt_tasks[job.id] = task
        try:
            await asyncio.wait([task])
        finally:
            # The attempt still runs only when the bot is being shut down.
            task.cancel()
            await asyncio.wait([task])
            if self._attempt_tasks.get(job.id) is task:  # otherwise another consumer has claimed it again
                del self._attempt_tasks[job.id]
        if not task.cancelled():
            task.result()

    async def _run_attempt(self, job: Job) -> None:
        """Send a job to the worker and record its events until the last."""
        with log_context(job=job.id, account=job.account):
            log.info("job %d (%s) attempt %d starts", job.id, job.kind, job.attempt)
            try:
                try:
                    request = await self._request_builder.build(job)
                except MissingInput as error:
                    log.error("job %d has lost its input (%s) and fails", job.id, error.reason)
                    await self._recorder.record_failure(job, JobFailure(error.reason))
                    return
                # Not for a training: it resumes from its checkpoints, whatever kills the worker.
                is_exclusive = job.kind is JobKind.GENERATE and job.lost_attempts >= EXCLUSIVE_AFTER_LOSSES
                async with (
                    self._exclusion_locks[job.kind].acquire(is_exclusive),
                    aclosing(self._backend.run(request)) as events,
                ):
                    async for event in events:
                        if await self._recorder.record(job, event):
                            return
                raise WorkerLost("the stream ended without a result")
            except StaleAttempt:
                log.info("job %d attempt %d is discarded: the job has ended meanwhile", job.id, job.attempt)
            except WorkerLost as loss:
                await self._requeue_lost(job, str(loss))

    async def _requeue_lost(self, job: Job, reason: str) -> None:
        # Paused before it is queued again: other consumers would claim it at once.
        await asyncio.sleep(self._retry_backoff_s * (job.lost_attempts + 1))
        updated_job = await self._database.jobs.record_lost_attempt(job.id, job.attempt)
        if updated_job is None:
            return
        log.warning("job %d attempt %d was lost: %s", job.id, job.attempt, reason)
        self._listener.wake()
        self._listener.on_job_changed(job.id)
        self._wake_events[job.kind].set()
        if updated_job.status is not JobStatus.QUEUED:
            await self._storage.delete_work(job.id)
