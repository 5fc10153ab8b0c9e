"""What comes back from the worker, written down. Files come before the rows that name them."""

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
from bot.core.jobs import GenerateWish, Job, JobId, JobKind, JobStatus, TrainWish
from bot.core.likeness import LikenessReport, Pick
from bot.db import Ledger
from bot.jobs.likeness_scoring import Judging
from bot.jobs.requests import references
from bot.media import training_strip
from bot.media.storage import Files
from gpu_worker.protocol import (
    Adjusted,
    Candidate,
    Checkpoint,
    Done,
    Event,
    Failed,
    Preview,
    Progress,
    Sample,
    Started,
    Stopped,
)

log = logging.getLogger(__name__)

#: A write of the ledger that says False when the attempt is no longer the running one.
_Fenced: TypeAlias = Coroutine[Any, Any, bool]


class Watcher(Protocol):
    """Hears of changes that people may want to see."""

    def wake(self) -> None:
        """A notice is owed."""

    def progressed(self, job_id: JobId, remark: str = "") -> None:
        """A job got on, or ended; a remark is a sentence to show with that."""


class Stale(Exception):
    """The attempt is no longer the running one: somebody cancelled the job."""


class Outcomes:
    """Writes events of attempts that are still the running ones; Stale for any other."""

    def __init__(
        self, ledger: Ledger, files: Files, watcher: Watcher, judging: Judging, stop_early: bool = False
    ) -> None:
        self._ledger = ledger
        self._stop_early = stop_early
        # Of each attempt: the step it began at, and when that was; to tell what an early end saves.
        self._began: dict[JobId, tuple[int, float]] = {}
        self._files = files
        self._watcher = watcher
        self._judging = judging

    async def write(self, job: Job, event: Event) -> bool:
        """Write an event down; True when it was the last."""
        match event:
            case Done():
                await _to_its_end(self._done(job, event))
                return True
            case Failed():
                await self.failed(job, event.reason)
                return True
            case Stopped():
                raise WorkerLost("the worker stopped the job by itself")
            case Candidate() if await self._is_past_its_best(job, event):
                await _to_its_end(self._done(job, Done(job_id=job.id, attempt=job.attempt, lora=event.lora)))
                return True
            case Candidate():
                return False
        await self._on_the_way(job, event)
        return False

    async def failed(self, job: Job, sentence: str) -> None:
        """End a job that cannot be carried out."""
        await self._still(self._ledger.fail(job.id, job.attempt, sentence))
        await self._ended(job)

    async def _on_the_way(
        self, job: Job, event: Started | Progress | Checkpoint | Sample | Preview | Adjusted
    ) -> None:
        match event:
            case Started():
                self._began[job.id] = (event.step, monotonic())
                await self._still(self._ledger.begun(job.id, job.attempt, event.step, event.steps))
                self._watcher.progressed(job.id)
            case Progress():
                await self._still(self._ledger.progressed(job.id, job.attempt, event.step, event.steps))
                self._watcher.progressed(job.id)
            case Checkpoint():
                await self._files.write_checkpoint(job.id, event.data)
                await self._still(self._ledger.checkpointed(job.id, job.attempt, event.step))
            case Sample():
                await self._still(self._ledger.is_current(job.id, job.attempt))
                await self._files.write_sample(job.id, event.step, event.png)
                await self._show_so_far(job)
            case Preview():
                await self._still(self._ledger.is_current(job.id, job.attempt))
                await self._files.write_preview(job.id, event.png)
                self._watcher.progressed(job.id)
            case Adjusted():
                await self._still(self._ledger.progressed(job.id, job.attempt, event.step))
                log.warning("job %d: %s", job.id, event.reason)
                self._watcher.progressed(job.id, event.reason)

    async def _is_past_its_best(self, job: Job, event: Candidate) -> bool:
        """Judge a candidate; True when its training is to end here."""
        await _to_its_end(self._judge(job, event))
        report = await self._likeness(job)
        if not self._stop_early or report is None or not likeness.has_peaked(report.scores):
            return False
        found = await self._ledger.job(job.id)
        step = event.step - (_start_step(job) or 0)
        if found is None or found.steps is None or step >= found.steps:
            return False
        first, began = self._began.get(job.id, (0, monotonic()))
        step_s = (monotonic() - began) / max(1, step - first)
        report = replace(report, saved_s=step_s * (found.steps - step))
        await self._still(self._ledger.judged(job.id, job.attempt, report))
        log.info("job %d ends early, at step %d of %d", job.id, event.step, found.steps)
        return True

    async def _judge(self, job: Job, event: Candidate) -> None:
        """Score a candidate, and keep its LoRA if it is the best so far. The file comes before the row."""
        await self._still(self._ledger.is_current(job.id, job.attempt))
        scored = await self._judging.score(job, await self._ledger.photos_of(job.id), event)
        if scored is None:
            return
        await self._files.write_candidate_pictures(job.id, event.step, event.pictures)
        report = likeness.added(await self._likeness(job) or LikenessReport(()), *scored)
        best = likeness.best(report.scores)
        if best is not None and best.step == event.step:
            # Written again also where it is what was there: it may not stay the best.
            await self._files.write_candidate(job.id, event.step, event.lora)
            report = replace(report, chosen=event.step)
        await self._still(self._ledger.judged(job.id, job.attempt, report))
        if report.chosen is not None:
            await self._files.keep_candidate(job.id, report.chosen)
        self._watcher.progressed(job.id)

    async def _likeness(self, job: Job) -> LikenessReport | None:
        found = await self._ledger.job(job.id)
        return None if found is None else found.likeness

    async def _best(self, job: Job, last: bytes) -> bytes | None:
        """Give the LoRA that is handed out: the candidate that is most alike, else what was learnt last.

        None when nothing that a further training learnt is better than what was there.
        """
        report = await self._likeness(job)
        if report is None or report.chosen is None:
            return last
        if report.chosen == _start_step(job):
            return None
        kept = await self._files.read_candidate(job.id, report.chosen)
        if kept is None:
            log.warning("job %d: the LoRA of step %d is gone; the last is handed out", job.id, report.chosen)
            await self._still(self._ledger.judged(job.id, job.attempt, replace(report, chosen=None)))
            return last
        return kept

    async def _done(self, job: Job, event: Done) -> None:
        if job.kind is JobKind.TRAIN:
            await self._trained(job, event.lora)
        else:
            await self._drawn(job, event)
        await self._ended(job)

    async def _trained(self, job: Job, last: bytes | None) -> None:
        if last is None:
            raise WorkerLost("a training ended without a LoRA")
        file, before = None, await self._ledger.lora(job.code)
        if (data := await self._best(job, last)) is not None:
            further = job.id if job.goes_further else None
            file = await self._files.write_lora(job.code, data, further)
        pictures = await self._shown(job)
        try:
            await self._still(self._ledger.finish_training(job.id, job.attempt, file, pictures))
        except Stale:
            if await self._was_given_up(job):
                await self._files.forget_pictures(pictures)
                if file is not None:
                    await self._files.forget_lora_file(file[0])
            raise
        if file is not None and before is not None and before.file not in (None, file[0]):
            await self._files.forget_lora_file(str(before.file))

    async def _drawn(self, job: Job, event: Done) -> None:
        event, picked = await self._picked(job, event)
        pictures = [
            await self._files.write_picture(job.id, number, png)
            for number, png in enumerate(event.pictures, 1)
        ]
        try:
            await self._still(
                self._ledger.finish_generation(job.id, job.attempt, pictures, event.recipes, picked)
            )
        except Stale:
            if await self._was_given_up(job):
                await self._files.forget_pictures(pictures)
            raise

    async def _picked(self, job: Job, event: Done) -> tuple[Done, tuple[Pick, GenerateWish] | None]:
        """Of pictures of which the most alike is wanted, give that one; all, where nobody can tell."""
        wish = job.wish
        if not isinstance(wish, GenerateWish) or not wish.best:
            return event, None
        pick = await self._judging.pick(await references(self._ledger, self._files, job.code), event)
        if pick is None:
            log.info("job %d: nobody can tell which picture is the most alike", job.id)
            return event, None
        place = pick.chosen - 1
        one = slice(place, place + 1)
        drawn = msgspec.structs.replace(event, pictures=event.pictures[one], recipes=event.recipes[one])
        return drawn, (pick, _drawn_alone(wish, place))

    async def _was_given_up(self, job: Job) -> bool:
        """Say whether a result that came late is nobody's."""
        found = await self._ledger.job(job.id)
        return found is None or found.status in {JobStatus.CANCELLED, JobStatus.FAILED}  # None: it was erased

    async def _shown(self, job: Job) -> list[str]:
        """Put what a training drew into one picture, and keep those of the LoRA that is handed out.

        Gives their names, if there were any.
        """
        try:
            samples, report = await self._files.read_samples(job.id), await self._likeness(job)
            candidates = await self._files.read_candidate_pictures(job.id)
            if not samples and not candidates:
                return []
            picture = await asyncio.to_thread(training_strip.compose, samples, report, candidates)
            made = [] if report is None or report.chosen is None else candidates.get(report.chosen, [])
            return [
                await self._files.write_picture(job.id, number, png)
                for number, png in enumerate((picture, *made))
            ]
        except Exception:  # whatever is wrong with them, the LoRA is ready all the same
            log.exception("the samples of job %d cannot be shown", job.id)
            return []

    async def _show_so_far(self, job: Job) -> None:
        """Have the card of a training show what its LoRA drew up to now."""
        try:
            picture = await asyncio.to_thread(training_strip.compose, await self._files.read_samples(job.id))
            await self._files.write_preview(job.id, picture)
        except Exception:  # whatever is wrong with them, the training goes on
            log.exception("the samples of job %d cannot be shown yet", job.id)
        self._watcher.progressed(job.id)

    async def _ended(self, job: Job) -> None:
        log.info("job %d (%s) has ended", job.id, job.kind)
        self._began.pop(job.id, None)
        await self._files.forget_work(job.id)
        self._watcher.progressed(job.id)
        self._watcher.wake()

    async def _still(self, write: _Fenced) -> None:
        if not await write:
            raise Stale


def _drawn_alone(wish: GenerateWish, place: int) -> GenerateWish:
    """Give the wish with the seed of its picture at a place, from 0: what is made from it begins there."""
    if wish.variation:
        return replace(wish, variation_seed=wish.variation_seed + place)
    return wish if wish.seed is None else replace(wish, seed=(wish.seed + place) % 2**32)


def _start_step(job: Job) -> int | None:
    """Give the step that a further training began at."""
    return job.wish.start_step if isinstance(job.wish, TrainWish) else None


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do all of it, and be cancelled only afterwards: what comes late would outlive its clean-up."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if running.exception() is not None and not isinstance(running.exception(), Stale):
            log.error("a result could not be written", exc_info=running.exception())
        raise
