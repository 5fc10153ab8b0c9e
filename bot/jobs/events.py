"""Record the events of an attempt. Files are written before the rows that name them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

from bot.core import likeness
from bot.core.errors import WorkerLost
from bot.core.jobs import Job, JobFailure, JobId, JobKind
from bot.core.likeness import LikenessReport
from bot.db import Database
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.results import ResultRecorder, StaleAttempt, ensure_current, get_start_step, load_likeness
from bot.media import training_strip
from bot.media.storage import Storage
from gpu_worker.protocol import (
    CancelledEvent,
    CandidateEvent,
    CheckpointEvent,
    DoneEvent,
    FailedEvent,
    FallbackCause,
    FallbackEvent,
    PreviewEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    WorkerEvent,
)

log = logging.getLogger(__name__)


class JobListener(Protocol):
    """Is told of changes that people may want to see."""

    def wake(self) -> None:
        """A notice is owed."""

    def on_job_changed(self, job_id: JobId, fallback: FallbackCause | None = None) -> None:
        """A job got on, or ended; a fallback is told with that."""


class EventRecorder:
    """Records events of running attempts; raises StaleAttempt for any other."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        listener: JobListener,
        likeness_scorer: LikenessScorer,
        stop_early: bool = False,
    ) -> None:
        self._database = database
        self._stop_early = stop_early
        # Of each attempt: the step it began at, and when that was; to tell what an early end saves.
        self._attempt_starts: dict[JobId, tuple[int, float]] = {}
        self._storage = storage
        self._listener = listener
        self._likeness_scorer = likeness_scorer
        self._results = ResultRecorder(database, storage, likeness_scorer)

    async def record(self, job: Job, event: WorkerEvent) -> bool:
        """Record an event. Return True when it was the last of its attempt."""
        match event:
            case DoneEvent():
                await _run_shielded(self._record_done(job, event))
                return True
            case FailedEvent():
                await self.record_failure(job, JobFailure(event.problem, event.values))
                return True
            case CancelledEvent():
                raise WorkerLost("the worker stopped the job by itself")
            case CandidateEvent() if await self._should_stop_early(job, event):
                await _run_shielded(
                    self._record_done(job, DoneEvent(job_id=job.id, attempt=job.attempt, lora=event.lora))
                )
                return True
            case CandidateEvent():
                return False
        await self._record_update(job, event)
        return False

    async def record_failure(self, job: Job, failure: JobFailure) -> None:
        """End a job as failed."""
        await ensure_current(self._database.jobs.fail(job.id, job.attempt, failure))
        await self._finish_job(job)

    async def _record_update(
        self,
        job: Job,
        event: StartedEvent | ProgressEvent | CheckpointEvent | SampleEvent | PreviewEvent | FallbackEvent,
    ) -> None:
        match event:
            case StartedEvent():
                self._attempt_starts[job.id] = (event.step, monotonic())
                await ensure_current(
                    self._database.jobs.record_start(
                        job.id, job.attempt, event.step, event.steps, event.family
                    )
                )
                self._listener.on_job_changed(job.id)
            case ProgressEvent():
                await ensure_current(
                    self._database.jobs.record_progress(job.id, job.attempt, event.step, event.steps)
                )
                self._listener.on_job_changed(job.id)
            case CheckpointEvent():
                await self._storage.write_checkpoint(job.id, event.data)
                await ensure_current(self._database.jobs.record_checkpoint(job.id, job.attempt, event.step))
            case SampleEvent():
                await ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
                await self._storage.write_sample(job.id, event.step, event.png)
                await self._update_preview(job)
            case PreviewEvent():
                await ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
                await self._storage.write_preview(job.id, event.png)
                self._listener.on_job_changed(job.id)
            case FallbackEvent():
                await ensure_current(self._database.jobs.record_progress(job.id, job.attempt, event.step))
                log.warning(
                    "job %d: %s; it goes on from step %d with %s",
                    *(job.id, event.cause, event.step, event.memory_mode),
                )
                self._listener.on_job_changed(job.id, event.cause)

    async def _should_stop_early(self, job: Job, event: CandidateEvent) -> bool:
        """Score a candidate. Return True when its training is to stop here."""
        await _run_shielded(self._score_candidate(job, event))
        report = await load_likeness(self._database, job)
        if not self._stop_early or report is None or not likeness.has_peaked(report.scores):
            return False
        current_job = await self._database.jobs.get(job.id)
        step = event.step - (get_start_step(job) or 0)
        if current_job is None or current_job.steps is None or step >= current_job.steps:
            return False
        start_step, started_s = self._attempt_starts.get(job.id, (0, monotonic()))
        step_s = (monotonic() - started_s) / max(1, step - start_step)
        report = replace(report, saved_s=step_s * (current_job.steps - step))
        await ensure_current(self._database.jobs.save_likeness(job.id, job.attempt, report))
        log.info("job %d ends early, at step %d of %d", job.id, event.step, current_job.steps)
        return True

    async def _score_candidate(self, job: Job, event: CandidateEvent) -> None:
        """Score a candidate, and keep its LoRA if it is the best so far. The file comes before the row."""
        await ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
        photos = await self._database.photos.get_job_photos(job.id)
        result = await self._likeness_scorer.score_candidate(job, [photo.data for photo in photos], event)
        if result is None:
            return
        await self._storage.write_candidate_pictures(job.id, event.step, event.pictures)
        report = likeness.add_score(await load_likeness(self._database, job) or LikenessReport(()), *result)
        best = likeness.best_score(report.scores)
        if best is not None and best.step == event.step:
            # Written again also where it is what was there: it may not stay the best.
            await self._storage.write_candidate(job.id, event.step, event.lora)
            report = replace(report, chosen=event.step)
        await ensure_current(self._database.jobs.save_likeness(job.id, job.attempt, report))
        if report.chosen is not None:
            await self._storage.delete_other_candidates(job.id, report.chosen)
        self._listener.on_job_changed(job.id)

    async def _record_done(self, job: Job, event: DoneEvent) -> None:
        if job.kind is JobKind.TRAIN:
            await self._results.record_training(job, event.lora)
        else:
            await self._results.record_generation(job, event)
        await self._finish_job(job)

    async def _update_preview(self, job: Job) -> None:
        """Have the card of a training show what its LoRA drew up to now."""
        try:
            strip_png = await asyncio.to_thread(
                training_strip.compose, await self._storage.read_samples(job.id)
            )
            await self._storage.write_preview(job.id, strip_png)
        except Exception:  # whatever is wrong with them, the training goes on
            log.exception("the preview of job %d could not be made", job.id)
        self._listener.on_job_changed(job.id)

    async def _finish_job(self, job: Job) -> None:
        log.info("job %d (%s) has ended", job.id, job.kind)
        self._attempt_starts.pop(job.id, None)
        await self._storage.delete_work(job.id)
        self._listener.on_job_changed(job.id)
        self._listener.wake()


async def _run_shielded(coroutine: Coroutine[Any, Any, None]) -> None:
    """Finish a write before a cancel takes effect: files written later would outlive their clean-up."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if task.exception() is not None and not isinstance(task.exception(), StaleAttempt):
            log.error("a result could not be stored", exc_info=task.exception())
        raise
