"""Takes jobs from the ledger to the card and writes down what comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from itertools import chain, repeat

from bot.core.errors import WorkerLost
from bot.core.jobs import MAX_CONCURRENT_GENERATIONS, Job, JobFailure, JobId, JobKind, JobStatus
from bot.core.logging import log_context
from bot.db import Database
from bot.jobs.backends.base import GpuBackend
from bot.jobs.events import EventRecorder, JobListener, StaleAttempt
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.locks import SharedExclusiveLock
from bot.jobs.requests import MissingInput, RequestBuilder
from bot.jobs.styles import Styles
from bot.media.storage import Storage
from gpu_worker.protocol import Crop, JobRequest, PrefetchRequest, WorkerHealth

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
    """A few lanes a kind, so that generations run beside a training; the worker shares its card."""

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
    ) -> None:
        self._database = database
        self._backend = backend
        self._storage = storage
        self._listener = listener
        self._request_builder = RequestBuilder(database, storage, styles, face_mask)
        self._recorder = EventRecorder(
            database, storage, listener, likeness_scorer or LikenessScorer(None), stop_early
        )
        # A wake-up and nothing more: what is to be done stands in the ledger.
        self._wake_events = {kind: asyncio.Event() for kind in JobKind}
        self._shutdown_event = asyncio.Event()
        self._attempt_tasks: dict[JobId, asyncio.Task[None]] = {}
        self._exclusion_locks = {kind: SharedExclusiveLock() for kind in JobKind}
        # Photos for the worker to encode while their person still sends others, and such to forget.
        self._prefetch_queue: asyncio.Queue[PrefetchRequest | tuple[str, ...]] = asyncio.Queue(
            MAX_PREFETCH_PHOTOS
        )
        self._consumer_counts = dict.fromkeys(JobKind, 0)
        self._busy_counts = dict.fromkeys(JobKind, 0)  # lanes that have a job, or are about to ask for one
        self._consumer_group: asyncio.TaskGroup | None = None
        backend.subscribe(self._on_workers_changed)

    def wake(self) -> None:
        """Say that the ledger holds a new job."""
        for event in self._wake_events.values():
            event.set()

    def request_shutdown(self) -> None:
        """Let no further job begin in this run; `run` ends once those under way have."""
        self._shutdown_event.set()
        self.wake()

    def health(self) -> WorkerHealth | None:
        """What the worker last said of itself."""
        return self._backend.health()

    def prefetch(self, photos: Iterable[bytes], crops: Iterable[Crop | None] = ()) -> None:
        """Let the worker encode photos of a set that is being collected; a courtesy, so it may be skipped."""
        for photo, crop in zip(photos, chain(crops, repeat(None)), strict=False):
            try:
                self._prefetch_queue.put_nowait(PrefetchRequest(photo=photo, crop=crop))
            except asyncio.QueueFull:
                log.info("too many photos at once; some are encoded with their training")
                return

    def forget(self, photo_hashes: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""
        hashes = tuple(photo_hashes)
        # To encode may be skipped, to forget may not: photos that still wait make room for it.
        while hashes and self._prefetch_queue.full():
            dropped_item = self._prefetch_queue.get_nowait()
            if not isinstance(dropped_item, PrefetchRequest):
                hashes = (*dropped_item, *hashes)
        if hashes:
            self._prefetch_queue.put_nowait(hashes)

    async def abort_job(self, job_id: JobId) -> None:
        """End the running attempt of a job that was cancelled, if there is one; returns once it has ended."""
        task = self._attempt_tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._storage.delete_work(job_id)
        self._listener.on_job_changed(job_id)

    def notify_changed(self, job_id: JobId) -> None:
        """Say that the message which shows a job is no longer true."""
        self._listener.on_job_changed(job_id)

    async def run(self) -> None:
        """Carry out jobs until cancelled, or told to finish.

        Attempts under way are closed when cancelled, and taken up at the next start.
        """
        released_count = await self._database.jobs.requeue_running()
        if released_count:
            log.info("%d running jobs of the last time are back in line", released_count)
        self.wake()
        async with asyncio.TaskGroup() as side_tasks:
            prefetch_task = side_tasks.create_task(self._run_prefetch(), name="photos-ahead")
            async with asyncio.TaskGroup() as consumers:
                self._consumer_group, self._consumer_counts = consumers, dict.fromkeys(JobKind, 0)
                self._start_consumers()
                try:
                    await self._shutdown_event.wait()
                finally:
                    self._consumer_group = None  # at once: a group that is being left takes no lanes any more
            prefetch_task.cancel()

    async def drain(self) -> None:
        """Carry out what waits, then return."""
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
        """Have as many lanes as the workers can take; those of workers that left stay, and claim nothing."""
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
                await self._backend.prefetch(item.photo, item.crop)
            else:
                await self._backend.forget(item)

    async def _run_consumer(self, kind: JobKind) -> None:
        wake_event = self._wake_events[kind]
        while not self._shutdown_event.is_set():
            await wake_event.wait()
            wake_event.clear()  # before the look, so that a job that comes during it rings again
            await self._process_jobs(kind)

    async def _process_jobs(self, kind: JobKind) -> None:
        while not self._shutdown_event.is_set() and self._busy_counts[kind] < self._capacity(kind):
            self._busy_counts[kind] += (
                1  # before the claim, so that no more are claimed than workers can take
            )
            try:
                if (job := await self._database.jobs.claim_next(kind)) is None:
                    return
                self._wake_events[kind].set()  # there may be more, for another lane
                await self._process_job(job)
            finally:
                self._busy_counts[kind] -= 1

    async def _process_job(self, job: Job) -> None:
        task = asyncio.create_task(self._run_attempt(job), name=f"attempt-{job.id}.{job.attempt}")
        self._attempt_tasks[job.id] = task
        try:
            await asyncio.wait([task])
        finally:
            # Reached with the attempt still running only when we are being shut down.
            task.cancel()
            await asyncio.wait([task])
            if self._attempt_tasks.get(job.id) is task:  # else another lane has taken it up again
                del self._attempt_tasks[job.id]
        if not task.cancelled():
            task.result()

    async def _run_attempt(self, job: Job) -> None:
        with log_context(job=job.id, account=job.account):
            await self._execute_job(job)

    async def _execute_job(self, job: Job) -> None:
        log.info("job %d (%s) attempt %d begins", job.id, job.kind, job.attempt)
        try:
            request = await self._request_builder.build(job)
            # A training goes on from its checkpoints, so it need not fear its neighbours.
            is_exclusive = job.kind is JobKind.GENERATE and job.lost_attempts >= EXCLUSIVE_AFTER_LOSSES
            async with self._exclusion_locks[job.kind].acquire(is_exclusive):
                await self._record_events(job, request)
        except StaleAttempt:
            log.info("job %d was ended by somebody else", job.id)
        except MissingInput as input_error:
            log.error("job %d cannot be carried out", job.id, exc_info=input_error)
            await self._record_failure(job, JobFailure(input_error.reason))
        except WorkerLost as loss:
            await self._record_loss(job, str(loss))

    async def _record_events(self, job: Job, request: JobRequest) -> None:
        async with aclosing(self._backend.run(request)) as events:
            async for event in events:
                if await self._recorder.record(job, event):
                    return
        raise WorkerLost("the stream ended without a result")

    async def _record_failure(self, job: Job, failure: JobFailure) -> None:
        try:
            await self._recorder.record_failure(job, failure)
        except StaleAttempt:
            log.info("job %d was ended by somebody else", job.id)

    async def _record_loss(self, job: Job, reason: str) -> None:
        # Paused before it is in line again: other lanes would take it up at once.
        await asyncio.sleep(RETRY_BACKOFF_S * (job.lost_attempts + 1))
        updated_job = await self._database.jobs.record_lost_attempt(job.id, job.attempt)
        if updated_job is None:
            return
        log.warning("job %d attempt %d was lost: %s", job.id, job.attempt, reason)
        self._listener.wake()
        self._listener.on_job_changed(job.id)
        self._wake_events[job.kind].set()
        if updated_job.status is not JobStatus.QUEUED:
            await self._storage.delete_work(job.id)
