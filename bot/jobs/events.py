"""Record the events of an attempt. Files are written before the rows that name them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol, TypeAlias

import msgspec

from bot.core import likeness
from bot.core.errors import WorkerLost
from bot.core.jobs import GenerationParams, Job, JobFailure, JobId, JobKind, JobStatus, TrainingParams
from bot.core.likeness import LikenessReport, PictureSelection
from bot.db import Database
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.requests import load_references
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

#: A write of the database that says False when the attempt is no longer the running one.
_FencedWrite: TypeAlias = Coroutine[Any, Any, bool]


class JobListener(Protocol):
    """Is told of changes that people may want to see."""

    def wake(self) -> None:
        """A notice is owed."""

    def on_job_changed(self, job_id: JobId, fallback: FallbackCause | None = None) -> None:
        """A job got on, or ended; a fallback is told with that."""


class StaleAttempt(Exception):
    """The attempt is no longer the running one: somebody cancelled the job."""


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
        await self._ensure_current(self._database.jobs.fail(job.id, job.attempt, failure))
        await self._finish_job(job)

    async def _record_update(
        self,
        job: Job,
        event: StartedEvent | ProgressEvent | CheckpointEvent | SampleEvent | PreviewEvent | FallbackEvent,
    ) -> None:
        match event:
            case StartedEvent():
                self._attempt_starts[job.id] = (event.step, monotonic())
                await self._ensure_current(
                    self._database.jobs.record_start(job.id, job.attempt, event.step, event.steps)
                )
                self._listener.on_job_changed(job.id)
            case ProgressEvent():
                await self._ensure_current(
                    self._database.jobs.record_progress(job.id, job.attempt, event.step, event.steps)
                )
                self._listener.on_job_changed(job.id)
            case CheckpointEvent():
                await self._storage.write_checkpoint(job.id, event.data)
                await self._ensure_current(
                    self._database.jobs.record_checkpoint(job.id, job.attempt, event.step)
                )
            case SampleEvent():
                await self._ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
                await self._storage.write_sample(job.id, event.step, event.png)
                await self._update_preview(job)
            case PreviewEvent():
                await self._ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
                await self._storage.write_preview(job.id, event.png)
                self._listener.on_job_changed(job.id)
            case FallbackEvent():
                await self._ensure_current(
                    self._database.jobs.record_progress(job.id, job.attempt, event.step)
                )
                log.warning(
                    "job %d: %s; it goes on from step %d with %s",
                    *(job.id, event.cause, event.step, event.memory_mode),
                )
                self._listener.on_job_changed(job.id, event.cause)

    async def _should_stop_early(self, job: Job, event: CandidateEvent) -> bool:
        """Score a candidate. Return True when its training is to stop here."""
        await _run_shielded(self._score_candidate(job, event))
        report = await self._load_likeness(job)
        if not self._stop_early or report is None or not likeness.has_peaked(report.scores):
            return False
        current_job = await self._database.jobs.get(job.id)
        step = event.step - (_start_step(job) or 0)
        if current_job is None or current_job.steps is None or step >= current_job.steps:
            return False
        start_step, started_s = self._attempt_starts.get(job.id, (0, monotonic()))
        step_s = (monotonic() - started_s) / max(1, step - start_step)
        report = replace(report, saved_s=step_s * (current_job.steps - step))
        await self._ensure_current(self._database.jobs.save_likeness(job.id, job.attempt, report))
        log.info("job %d ends early, at step %d of %d", job.id, event.step, current_job.steps)
        return True

    async def _score_candidate(self, job: Job, event: CandidateEvent) -> None:
        """Score a candidate, and keep its LoRA if it is the best so far. The file comes before the row."""
        await self._ensure_current(self._database.jobs.is_current_attempt(job.id, job.attempt))
        photos = await self._database.photos.get_job_photos(job.id)
        result = await self._likeness_scorer.score_candidate(job, [photo.data for photo in photos], event)
        if result is None:
            return
        await self._storage.write_candidate_pictures(job.id, event.step, event.pictures)
        report = likeness.add_score(await self._load_likeness(job) or LikenessReport(()), *result)
        best = likeness.best_score(report.scores)
        if best is not None and best.step == event.step:
            # Written again also where it is what was there: it may not stay the best.
            await self._storage.write_candidate(job.id, event.step, event.lora)
            report = replace(report, chosen=event.step)
        await self._ensure_current(self._database.jobs.save_likeness(job.id, job.attempt, report))
        if report.chosen is not None:
            await self._storage.delete_other_candidates(job.id, report.chosen)
        self._listener.on_job_changed(job.id)

    async def _load_likeness(self, job: Job) -> LikenessReport | None:
        current_job = await self._database.jobs.get(job.id)
        return None if current_job is None else current_job.likeness

    async def _select_lora(self, job: Job, last_lora: bytes) -> bytes | None:
        """Return the LoRA to hand out: the candidate with the best likeness, otherwise the last state.

        None when a continued training has nothing better than the LoRA that it started from.
        """
        report = await self._load_likeness(job)
        if report is None or report.chosen is None:
            return last_lora
        if report.chosen == _start_step(job):
            return None
        lora = await self._storage.read_candidate(job.id, report.chosen)
        if lora is None:
            log.warning(
                "job %d: the candidate of step %d is gone; using the last state", job.id, report.chosen
            )
            await self._ensure_current(
                self._database.jobs.save_likeness(job.id, job.attempt, replace(report, chosen=None))
            )
            return last_lora
        return lora

    async def _record_done(self, job: Job, event: DoneEvent) -> None:
        if job.kind is JobKind.TRAIN:
            await self._record_training(job, event.lora)
        else:
            await self._record_generation(job, event)
        await self._finish_job(job)

    async def _record_training(self, job: Job, last_lora: bytes | None) -> None:
        if last_lora is None:
            raise WorkerLost("a training ended without a LoRA")
        file, previous_lora = None, await self._database.loras.get_by_code(job.code)
        if (data := await self._select_lora(job, last_lora)) is not None:
            continuation_job_id = job.id if job.is_continuation else None
            file = await self._storage.write_lora(job.code, data, continuation_job_id)
        pictures = await self._store_training_pictures(job)
        try:
            await self._ensure_current(
                self._database.jobs.finish_training(job.id, job.attempt, file, pictures)
            )
        except StaleAttempt:
            if await self._is_abandoned(job):
                await self._storage.delete_pictures(pictures)
                if file is not None:
                    await self._storage.delete_lora_file(file[0])
            raise
        if file is not None and previous_lora is not None and previous_lora.file not in (None, file[0]):
            await self._storage.delete_lora_file(str(previous_lora.file))

    async def _record_generation(self, job: Job, event: DoneEvent) -> None:
        event, pick = await self._pick_picture(job, event)
        pictures = [
            await self._storage.write_picture(job.id, number, png)
            for number, png in enumerate(event.pictures, 1)
        ]
        try:
            await self._ensure_current(
                self._database.jobs.finish_generation(job.id, job.attempt, pictures, event.recipes, pick)
            )
        except StaleAttempt:
            if await self._is_abandoned(job):
                await self._storage.delete_pictures(pictures)
            raise

    async def _pick_picture(
        self, job: Job, event: DoneEvent
    ) -> tuple[DoneEvent, tuple[PictureSelection, GenerationParams] | None]:
        """Return only the picture with the best likeness if that was asked for; all if none can be scored."""
        params = job.params
        if not isinstance(params, GenerationParams) or not params.best:
            return event, None
        pick = await self._likeness_scorer.pick_best(
            await load_references(self._database, self._storage, job.code), event
        )
        if pick is None:
            log.info("job %d: no picture could be scored; all are handed out", job.id)
            return event, None
        index = pick.chosen - 1
        selection = slice(index, index + 1)
        picked_event = msgspec.structs.replace(
            event, pictures=event.pictures[selection], recipes=event.recipes[selection]
        )
        return picked_event, (pick, _params_of_picture(params, index))

    async def _is_abandoned(self, job: Job) -> bool:
        """Check whether the job of a late result was cancelled, has failed, or was erased."""
        current_job = await self._database.jobs.get(job.id)
        return current_job is None or current_job.status in {
            JobStatus.CANCELLED,
            JobStatus.FAILED,
        }

    async def _store_training_pictures(self, job: Job) -> list[str]:
        """Put what a training drew into one picture, and keep those of the LoRA that is handed out.

        Gives their names, if there were any.
        """
        try:
            samples, report = await self._storage.read_samples(job.id), await self._load_likeness(job)
            candidates = await self._storage.read_candidate_pictures(job.id)
            if not samples and not candidates:
                return []
            strip_png = await asyncio.to_thread(training_strip.compose, samples, report, candidates)
            chosen_pictures = (
                [] if report is None or report.chosen is None else candidates.get(report.chosen, [])
            )
            return [
                await self._storage.write_picture(job.id, number, png)
                for number, png in enumerate((strip_png, *chosen_pictures))
            ]
        except Exception:  # whatever is wrong with them, the LoRA is ready all the same
            log.exception("the training strip of job %d could not be made", job.id)
            return []

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

    async def _ensure_current(self, write: _FencedWrite) -> None:
        if not await write:
            raise StaleAttempt


def _params_of_picture(params: GenerationParams, index: int) -> GenerationParams:
    """Return the parameters with the seed of the picture at `index`, from 0."""
    if params.variation:
        return replace(params, variation_seed=params.variation_seed + index)
    return params if params.seed is None else replace(params, seed=(params.seed + index) % 2**32)


def _start_step(job: Job) -> int | None:
    """Return the step that a continued training started at; None for any other job."""
    return job.params.start_step if isinstance(job.params, TrainingParams) else None


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
