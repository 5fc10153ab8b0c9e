"""Record the results of an attempt: the LoRA of a training, the pictures of a generation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from bot.core.errors import WorkerLost
from bot.core.jobs import GenerationParams, Job, JobStatus, TrainingParams
from bot.core.likeness import LikenessReport, PictureSelection
from bot.db import Database
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.requests import load_people_references, load_references
from bot.media import comparison, training_strip
from bot.media.storage import Storage
from gpu_worker.protocol import DoneEvent

log = logging.getLogger(__name__)

#: A write of the database that says False when the attempt is no longer the running one.
_FencedWrite: TypeAlias = Coroutine[Any, Any, bool]


class StaleAttempt(Exception):
    """The attempt is no longer the running one: somebody cancelled the job."""


async def ensure_current(write: _FencedWrite) -> None:
    """Wait for a write of an attempt. Raise StaleAttempt when it is no longer the running one."""
    if not await write:
        raise StaleAttempt


async def load_likeness(database: Database, job: Job) -> LikenessReport | None:
    """Return what is known of the likeness of a running training."""
    current_job = await database.jobs.get(job.id)
    return None if current_job is None else current_job.likeness


def get_start_step(job: Job) -> int | None:
    """Return the step that a continued training started at; None for any other job."""
    return job.params.start_step if isinstance(job.params, TrainingParams) else None


class ResultRecorder:
    """Records results. Files are written before the rows that name them."""

    def __init__(self, database: Database, storage: Storage, likeness_scorer: LikenessScorer) -> None:
        self._database = database
        self._storage = storage
        self._likeness_scorer = likeness_scorer

    async def _select_lora(self, job: Job, last_lora: bytes) -> bytes | None:
        """Return the LoRA to hand out: the candidate with the best likeness, otherwise the last state.

        None when a continued training has nothing better than the LoRA that it started from.
        """
        report = await load_likeness(self._database, job)
        if report is None or report.chosen is None:
            return last_lora
        if report.chosen == get_start_step(job):
            return None
        lora = await self._storage.read_candidate(job.id, report.chosen)
        if lora is None:
            log.warning(
                "job %d: the candidate of step %d is gone; using the last state", job.id, report.chosen
            )
            await ensure_current(
                self._database.jobs.save_likeness(job.id, job.attempt, replace(report, chosen=None))
            )
            return last_lora
        return lora

    async def record_training(self, job: Job, last_lora: bytes | None) -> None:
        if last_lora is None:
            raise WorkerLost("a training ended without a LoRA")
        file, previous_lora = None, await self._database.loras.get_by_code(job.code)
        if (data := await self._select_lora(job, last_lora)) is not None:
            continuation_job_id = job.id if job.is_continuation else None
            file = await self._storage.write_lora(job.code, data, continuation_job_id)
        pictures = await self._store_training_pictures(job)
        try:
            await ensure_current(self._database.jobs.finish_training(job.id, job.attempt, file, pictures))
        except StaleAttempt:
            if await self._is_abandoned(job):
                await self._storage.delete_pictures(pictures)
                if file is not None:
                    await self._storage.delete_lora_file(file[0])
            raise
        if file is not None and previous_lora is not None and previous_lora.file not in (None, file[0]):
            await self._storage.delete_lora_file(str(previous_lora.file))

    async def record_generation(self, job: Job, event: DoneEvent) -> None:
        event, pick = await self._pick_picture(job, event)
        event = await _join_comparison(job, event)
        pictures = [
            await self._storage.write_picture(job.id, number, png)
            for number, png in enumerate(event.pictures, 1)
        ]
        try:
            await ensure_current(
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
        if not isinstance(params, GenerationParams) or params.strengths:
            return event, None
        if event.regions:
            pick = await self._score_people(job, params, event)
            if pick is not None and not params.best:
                return event, (replace(pick, chosen=0), params)
        elif params.best:
            pick = await self._likeness_scorer.pick_best(
                await load_references(self._database, self._storage, job.code), event
            )
        else:
            return event, None
        if pick is None:
            log.info("job %d: no picture could be scored; all are handed out", job.id)
            return event, None
        return _keep_picture(event, pick), (pick, _params_of_picture(params, pick.chosen - 1))

    async def _score_people(
        self, job: Job, params: GenerationParams, event: DoneEvent
    ) -> PictureSelection | None:
        """Return how alike each person of each picture is; None where somebody was never measured."""
        codes = (job.code, *params.codes)
        references = await load_people_references(self._database, self._storage, codes)
        if len(references) != len(event.regions[0]):
            return None
        pick = await self._likeness_scorer.score_people(list(references.values()), event)
        return None if pick is None else replace(pick, codes=tuple(references))

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
            samples, report = (
                await self._storage.read_samples(job.id),
                await load_likeness(self._database, job),
            )
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


async def _join_comparison(job: Job, event: DoneEvent) -> DoneEvent:
    """Return the pictures of several strengths as one picture with labels; any other result as it is."""
    strengths = job.params.strengths if isinstance(job.params, GenerationParams) else ()
    if not strengths:
        return event
    labels = [f"{strength:g}" for strength in strengths]
    sheet = await asyncio.to_thread(comparison.compose, event.pictures, labels)
    return msgspec.structs.replace(event, pictures=(sheet,), recipes=event.recipes[-1:])


def _keep_picture(event: DoneEvent, pick: PictureSelection) -> DoneEvent:
    """Return an event with the chosen picture alone."""
    selection = slice(pick.chosen - 1, pick.chosen)
    return msgspec.structs.replace(
        event, pictures=event.pictures[selection], recipes=event.recipes[selection]
    )


def _params_of_picture(params: GenerationParams, index: int) -> GenerationParams:
    """Return the parameters with the seed of the picture at `index`, from 0."""
    if params.variation:
        return replace(params, variation_seed=params.variation_seed + index)
    return params if params.seed is None else replace(params, seed=(params.seed + index) % 2**32)
