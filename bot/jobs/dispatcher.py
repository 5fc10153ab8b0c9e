"""Takes jobs from the ledger to the card and writes down what comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from itertools import chain, repeat

from bot.core.errors import WorkerLost
from bot.core.jobs import MAX_GENERATIONS_AT_ONCE, Job, JobId, JobKind, JobStatus
from bot.core.logging import about
from bot.db import Ledger
from bot.jobs.backends.base import GpuBackend
from bot.jobs.events import Outcomes, Stale, Watcher
from bot.jobs.likeness_scoring import Judging
from bot.jobs.locks import Company
from bot.jobs.requests import Missing, Requests
from bot.jobs.styles import Styles
from bot.media.storage import Files
from gpu_worker.protocol import Crop, Health, JobRequest, Prepare

log = logging.getLogger(__name__)

#: Pause before a lost job is tried again, times the number of its losses; a worker needs time to come back.
RETRY_PAUSE_S = 0.2
#: A generation that lost its worker so often is drawn without others beside it: the next time it is its own
#: fault, and others are not failed by a neighbour.
LOSSES_THAT_TELL = 2
#: Photos that wait to be sent ahead of their trainings.
MAX_AHEAD = 100
#: Jobs of a kind that are with one worker at the same time. It draws what waits together, and hands the card
#: over between the steps of a training.
AT_ONCE = {JobKind.TRAIN: 1, JobKind.GENERATE: MAX_GENERATIONS_AT_ONCE}


class Dispatcher:
    """A few lanes a kind, so that generations run beside a training; the worker shares its card."""

    def __init__(
        self,
        ledger: Ledger,
        backend: GpuBackend,
        files: Files,
        watcher: Watcher,
        styles: Styles,
        judging: Judging | None = None,
        face_mask: bool = False,
        stop_early: bool = False,
    ) -> None:
        self._ledger = ledger
        self._backend = backend
        self._files = files
        self._watcher = watcher
        self._requests = Requests(ledger, files, styles, face_mask)
        self._outcomes = Outcomes(ledger, files, watcher, judging or Judging(None), stop_early)
        # A wake-up and nothing more: what is to be done stands in the ledger.
        self._bells = {kind: asyncio.Event() for kind in JobKind}
        self._finishing = asyncio.Event()
        self._attempts: dict[JobId, asyncio.Task[None]] = {}
        self._company = {kind: Company() for kind in JobKind}
        # Photos for the worker to encode while their person still sends others, and such to forget.
        self._ahead: asyncio.Queue[Prepare | tuple[str, ...]] = asyncio.Queue(MAX_AHEAD)
        self._lanes = dict.fromkeys(JobKind, 0)
        self._busy = dict.fromkeys(JobKind, 0)  # lanes that have a job, or are about to ask for one
        self._loops: asyncio.TaskGroup | None = None
        backend.tell_changes(self._seats_changed)

    def wake(self) -> None:
        """Say that the ledger holds a new job."""
        for bell in self._bells.values():
            bell.set()

    def finish(self) -> None:
        """Let no further job begin in this run; `run` ends once those under way have."""
        self._finishing.set()
        self.wake()

    def health(self) -> Health | None:
        """What the worker last said of itself."""
        return self._backend.health()

    def prepare(self, photos: Iterable[bytes], crops: Iterable[Crop | None] = ()) -> None:
        """Let the worker encode photos of a set that is being collected; a courtesy, so it may be skipped."""
        for photo, crop in zip(photos, chain(crops, repeat(None)), strict=False):
            try:
                self._ahead.put_nowait(Prepare(photo=photo, crop=crop))
            except asyncio.QueueFull:
                log.info("too many photos at once; some are encoded with their training")
                return

    def forget(self, photos: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""
        gone = tuple(photos)
        # To encode may be skipped, to forget may not: photos that still wait make room for it.
        while gone and self._ahead.full():
            dropped = self._ahead.get_nowait()
            if not isinstance(dropped, Prepare):
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

    def changed(self, job_id: JobId) -> None:
        """Say that the message which shows a job is no longer true."""
        self._watcher.progressed(job_id)

    async def run(self) -> None:
        """Carry out jobs until cancelled, or told to finish.

        Attempts under way are closed when cancelled, and taken up at the next start.
        """
        released = await self._ledger.release_running()
        if released:
            log.info("%d running jobs of the last time are back in line", released)
        self.wake()
        async with asyncio.TaskGroup() as beside:
            ahead = beside.create_task(self._send_for_ever(), name="photos-ahead")
            async with asyncio.TaskGroup() as loops:
                self._loops, self._lanes = loops, dict.fromkeys(JobKind, 0)
                self._open_lanes()
                try:
                    await self._finishing.wait()
                finally:
                    self._loops = None  # at once: a group that is being left takes no lanes any more
            ahead.cancel()

    async def drain(self) -> None:
        """Carry out what waits, then return."""
        async with asyncio.TaskGroup() as loops:
            for kind in JobKind:
                for lane in range(self._room(kind)):
                    loops.create_task(self._work_off(kind), name=f"drain-{kind}-{lane}")

    def _room(self, kind: JobKind) -> int:
        return AT_ONCE[kind] * self._backend.seats()

    def _seats_changed(self) -> None:
        if not self._finishing.is_set():
            self._open_lanes()
            self.wake()

    def _open_lanes(self) -> None:
        """Have as many lanes as the workers can take; those of workers that left stay, and claim nothing."""
        if self._loops is None:
            return
        for kind in JobKind:
            for lane in range(self._lanes[kind], max(1, self._room(kind))):
                self._loops.create_task(self._serve(kind), name=f"dispatch-{kind}-{lane}")
                self._lanes[kind] = lane + 1

    async def _send_for_ever(self) -> None:
        while True:
            what = await self._ahead.get()
            if isinstance(what, Prepare):
                await self._backend.prepare(what.photo, what.crop)
            else:
                await self._backend.forget(what)

    async def _serve(self, kind: JobKind) -> None:
        bell = self._bells[kind]
        while not self._finishing.is_set():
            await bell.wait()
            bell.clear()  # before the look, so that a job that comes during it rings again
            await self._work_off(kind)

    async def _work_off(self, kind: JobKind) -> None:
        while not self._finishing.is_set() and self._busy[kind] < self._room(kind):
            self._busy[kind] += 1  # before the claim, so that no more are claimed than workers can take
            try:
                if (job := await self._ledger.claim(kind)) is None:
                    return
                self._bells[kind].set()  # there may be more, for another lane
                await self._to_its_end(job)
            finally:
                self._busy[kind] -= 1

    async def _to_its_end(self, job: Job) -> None:
        attempt = asyncio.create_task(self._attempt(job), name=f"attempt-{job.id}.{job.attempt}")
        self._attempts[job.id] = attempt
        try:
            await asyncio.wait([attempt])
        finally:
            # Reached with the attempt still running only when we are being shut down.
            attempt.cancel()
            await asyncio.wait([attempt])
            if self._attempts.get(job.id) is attempt:  # else another lane has taken it up again
                del self._attempts[job.id]
        if not attempt.cancelled():
            attempt.result()

    async def _attempt(self, job: Job) -> None:
        with about(job=job.id, account=job.account):
            await self._attempted(job)

    async def _attempted(self, job: Job) -> None:
        log.info("job %d (%s) attempt %d begins", job.id, job.kind, job.attempt)
        try:
            request = await self._requests.of(job)
            # A training goes on from its checkpoints, so it need not fear its neighbours.
            alone = job.kind is JobKind.GENERATE and job.losses >= LOSSES_THAT_TELL
            async with self._company[job.kind].joined(alone):
                await self._carried_out(job, request)
        except Stale:
            log.info("job %d was ended by somebody else", job.id)
        except Missing as missing:
            log.error("job %d cannot be carried out", job.id, exc_info=missing)
            await self._give_up(job, str(missing))
        except WorkerLost as lost:
            await self._lost(job, str(lost))

    async def _carried_out(self, job: Job, request: JobRequest) -> None:
        async with aclosing(self._backend.run(request)) as events:
            async for event in events:
                if await self._outcomes.write(job, event):
                    return
        raise WorkerLost("the stream ended without a result")

    async def _give_up(self, job: Job, sentence: str) -> None:
        try:
            await self._outcomes.failed(job, sentence)
        except Stale:
            log.info("job %d was ended by somebody else", job.id)

    async def _lost(self, job: Job, why: str) -> None:
        # Paused before it is in line again: other lanes would take it up at once.
        await asyncio.sleep(RETRY_PAUSE_S * (job.losses + 1))
        after = await self._ledger.lost(job.id, job.attempt)
        if after is None:
            return
        log.warning("job %d attempt %d was lost: %s", job.id, job.attempt, why)
        self._watcher.wake()
        self._watcher.progressed(job.id)
        self._bells[job.kind].set()
        if after.status is not JobStatus.QUEUED:
            await self._files.forget_work(job.id)
