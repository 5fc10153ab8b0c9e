"""Takes jobs from the ledger to the card and writes down what comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias

from bot import strip
from bot.backends.base import GpuBackend
from bot.domain import GenerateWish, Job, JobId, JobKind, JobStatus, TrainWish
from bot.errors import WorkerLost
from bot.files import Files
from bot.ledger import Ledger
from gpu_worker.protocol import (
    Adjusted,
    Checkpoint,
    Done,
    Event,
    Failed,
    Generate,
    Health,
    JobRequest,
    Progress,
    Sample,
    Started,
    Stopped,
    Train,
)

log = logging.getLogger(__name__)

#: Pause before a lost job is tried again, times the number of its losses; a worker needs time to come back.
RETRY_PAUSE_S = 0.2
#: Photos that wait to be sent ahead of their trainings.
MAX_AHEAD = 100
LORA_GONE = "The file of this LoraCode is missing here. Please tell the person who runs this bot."
#: A write of the ledger that says False when the attempt is no longer the running one.
_Fenced: TypeAlias = Coroutine[Any, Any, bool]


class Watcher(Protocol):
    """Hears of changes that people may want to see."""

    def wake(self) -> None:
        """A notice is owed."""

    def progressed(self, job_id: JobId, remark: str = "") -> None:
        """A job got on, or ended; a remark is a sentence to show with that."""


class _Stale(Exception):
    """The attempt is no longer the running one: somebody cancelled the job."""


class Dispatcher:
    """One loop a kind, so that a generation runs beside a training; the worker shares its card."""

    def __init__(self, ledger: Ledger, backend: GpuBackend, files: Files, watcher: Watcher) -> None:
        self._ledger = ledger
        self._backend = backend
        self._files = files
        self._watcher = watcher
        # A wake-up and nothing more: what is to be done stands in the ledger.
        self._bells = {kind: asyncio.Event() for kind in JobKind}
        self._attempts: dict[JobId, asyncio.Task[None]] = {}
        # Photos for the worker to encode while their person still sends others, and such to forget.
        self._ahead: asyncio.Queue[bytes | tuple[str, ...]] = asyncio.Queue(MAX_AHEAD)

    def wake(self) -> None:
        """Say that the ledger holds a new job."""
        for bell in self._bells.values():
            bell.set()

    def health(self) -> Health | None:
        """What the worker last said of itself."""
        return self._backend.health()

    def prepare(self, photos: Iterable[bytes]) -> None:
        """Let the worker encode photos of a set that is being collected; a courtesy, so it may be skipped."""
        for photo in photos:
            try:
                self._ahead.put_nowait(photo)
            except asyncio.QueueFull:
                log.info("too many photos at once; some are encoded with their training")
                return

    def forget(self, photos: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""
        gone = tuple(photos)
        # To encode may be skipped, to forget may not: photos that still wait make room for it.
        while gone and self._ahead.full():
            dropped = self._ahead.get_nowait()
            if not isinstance(dropped, bytes):
                gone = (*dropped, *gone)
        if gone:
            self._ahead.put_nowait(gone)

    async def stop(self, job_id: JobId) -> None:
        """End the running attempt of a job that was cancelled, if there is one; returns once it has ended."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.cancel()
            await asyncio.wait([attempt])
        await self._files.forget_work(job_id)
        self._watcher.progressed(job_id)

    async def run(self) -> None:
        """Carry out jobs until cancelled; attempts under way are closed, and taken up at the next start."""
        released = await self._ledger.release_running()
        if released:
            log.info("%d running jobs of the last time are back in line", released)
        self.wake()
        async with asyncio.TaskGroup() as loops:
            for kind in JobKind:
                loops.create_task(self._serve(kind), name=f"dispatch-{kind}")
            loops.create_task(self._send_for_ever(), name="photos-ahead")

    async def drain(self) -> None:
        """Carry out what waits, then return."""
        async with asyncio.TaskGroup() as loops:
            for kind in JobKind:
                loops.create_task(self._work_off(kind), name=f"drain-{kind}")

    async def _send_for_ever(self) -> None:
        while True:
            what = await self._ahead.get()
            if isinstance(what, bytes):
                await self._backend.prepare(what)
            else:
                await self._backend.forget(what)

    async def _serve(self, kind: JobKind) -> None:
        bell = self._bells[kind]
        while True:
            await bell.wait()
            bell.clear()  # before the look, so that a job that comes during it rings again
            await self._work_off(kind)

    async def _work_off(self, kind: JobKind) -> None:
        while (job := await self._ledger.claim(kind)) is not None:
            attempt = asyncio.create_task(self._attempt(job), name=f"attempt-{job.id}.{job.attempt}")
            self._attempts[job.id] = attempt
            try:
                await asyncio.wait([attempt])
            finally:
                # Reached with the attempt still running only when we are being shut down.
                attempt.cancel()
                await asyncio.wait([attempt])
                del self._attempts[job.id]
            if not attempt.cancelled():
                attempt.result()

    async def _attempt(self, job: Job) -> None:
        log.info("job %d (%s) attempt %d begins", job.id, job.kind, job.attempt)
        try:
            request = await self._request(job)
            if request is None:
                return
            async with aclosing(self._backend.run(request)) as events:
                async for event in events:
                    if await self._write(job, event):
                        return
            raise WorkerLost("the stream ended without a result")
        except _Stale:
            log.info("job %d was ended by somebody else", job.id)
        except WorkerLost as lost:
            await self._lost(job, str(lost))

    async def _request(self, job: Job) -> JobRequest | None:
        wish = job.wish
        if isinstance(wish, TrainWish):
            return Train(
                job_id=job.id,
                attempt=job.attempt,
                photos=await self._ledger.photos_of(job.id),
                token=wish.trigger.token,
                class_word=wish.trigger.class_word,
                steps=wish.steps,
                seed=wish.seed,
                sample_prompt=f"photo of {wish.trigger}",
                resume=await self._files.read_checkpoint(job.id),
            )
        lora = await self._ledger.lora(job.code)
        try:
            data = await self._files.read_lora(lora.file if lora is not None and lora.file else "missing")
        except OSError:
            log.exception("the LoRA of job %d cannot be read", job.id)
            await self._ended(job, self._ledger.fail(job.id, job.attempt, LORA_GONE))
            return None
        return _generate(job, wish, data, str(lora.trigger) if lora is not None else "")

    async def _write(self, job: Job, event: Event) -> bool:
        """Write an event down; True when it was the last. Files come before the rows that name them."""
        match event:
            case Started() | Progress():
                await self._still(self._ledger.progressed(job.id, job.attempt, event.step, event.steps))
                self._watcher.progressed(job.id)
            case Checkpoint():
                await self._files.write_checkpoint(job.id, event.data)
                await self._still(self._ledger.checkpointed(job.id, job.attempt, event.step))
            case Sample():
                await self._still(self._ledger.is_current(job.id, job.attempt))
                await self._files.write_sample(job.id, event.step, event.png)
            case Adjusted():
                await self._still(self._ledger.progressed(job.id, job.attempt, event.step))
                log.warning("job %d: %s", job.id, event.reason)
                self._watcher.progressed(job.id, event.reason)
            case Done():
                await asyncio.shield(self._done(job, event))
                return True
            case Failed():
                await self._ended(job, self._ledger.fail(job.id, job.attempt, event.reason))
                return True
            case Stopped():
                raise WorkerLost("the worker stopped the job by itself")
        return False

    async def _done(self, job: Job, event: Done) -> None:
        if job.kind is JobKind.TRAIN:
            if event.lora is None:
                raise WorkerLost("a training ended without a LoRA")
            name, sha256 = await self._files.write_lora(job.code, event.lora)
            pictures = await self._strip(job)
            await self._ended(
                job, self._ledger.finish_training(job.id, job.attempt, (name, sha256), pictures)
            )
            return
        files = [
            await self._files.write_picture(job.id, number, png)
            for number, png in enumerate(event.pictures, 1)
        ]
        await self._ended(job, self._ledger.finish_generation(job.id, job.attempt, files))

    async def _strip(self, job: Job) -> list[str]:
        """Put a training's samples into one picture; give its name, if there were any."""
        try:
            samples = await self._files.read_samples(job.id)
            if not samples:
                return []
            picture = await asyncio.to_thread(strip.compose, samples)
            return [await self._files.write_picture(job.id, 0, picture)]
        except Exception:  # whatever is wrong with them, the LoRA is ready all the same
            log.exception("the samples of job %d cannot be shown", job.id)
            return []

    async def _ended(self, job: Job, write: _Fenced) -> None:
        await self._still(write)
        log.info("job %d (%s) has ended", job.id, job.kind)
        await self._files.forget_work(job.id)
        self._watcher.progressed(job.id)
        self._watcher.wake()

    async def _still(self, write: _Fenced) -> None:
        if not await write:
            raise _Stale

    async def _lost(self, job: Job, why: str) -> None:
        after = await self._ledger.lost(job.id, job.attempt)
        if after is None:
            return
        log.warning("job %d attempt %d was lost: %s", job.id, job.attempt, why)
        self._watcher.wake()
        self._watcher.progressed(job.id)
        if after.status is JobStatus.QUEUED:
            await asyncio.sleep(RETRY_PAUSE_S * after.losses)
        else:
            await self._files.forget_work(job.id)


def _generate(job: Job, wish: GenerateWish, lora: bytes, trigger: str) -> Generate:
    return Generate(
        job_id=job.id,
        attempt=job.attempt,
        prompt=wish.prompt,
        negative=wish.negative,
        seed=wish.seed,
        width_px=wish.width_px,
        height_px=wish.height_px,
        count=wish.count,
        steps=wish.steps,
        guidance=wish.guidance,
        lora=lora,
        lora_name=job.code,
        trigger=trigger,
    )
