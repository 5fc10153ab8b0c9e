"""A backend without a process or a card, for tests: does the steps it is told to, in this event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from bot.core.errors import WorkerLost
from gpu_worker.protocol import (
    Adjusted,
    Candidate,
    Checkpoint,
    Crop,
    Done,
    Event,
    Failed,
    Generate,
    Health,
    JobRequest,
    Preview,
    Progress,
    Sample,
    Started,
    Train,
)

log = logging.getLogger(__name__)

#: That it is frozen is noticed after so long.
NOTICED_S = 0.05


class FakeBackend:
    """Answers every job with `steps` steps and the given results.

    `lose_at` makes an attempt lose its worker at a step (once for each number in it, in order); jobs in
    `poison` kill it every time, for all that run then; `gate`, while it is cleared, holds every job after
    its step. A `refusal` says why it is let do nothing.
    """

    def __init__(
        self, lora: bytes = b"lora", picture: bytes = b"picture", steps: int = 3, fail_with: str | None = None
    ) -> None:
        self.lora = lora
        self.picture = picture
        self.steps = steps
        self.fail_with = fail_with
        self.lose_at: list[int] = []
        self.poison: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[JobRequest] = []
        self.cancelled: list[int] = []
        self.prepared: list[bytes] = []
        self.forgotten: list[str] = []
        self.sample: bytes | None = None  # a picture that a training gives at every step
        #: How alike a training's LoRA is to its photos after each step, 0 to 1; none: nothing is said of it.
        #: At 0 it is the one that is trained further.
        self.likeness: dict[int, float] = {}
        #: How alike each picture of a drawing is, where that is asked for; none: nothing is said of it.
        self.drawn_alike: list[float] = []
        self.preview: bytes | None = None  # a picture that a generation gives at every step
        self.at_once = 0  # the most jobs that ran at the same time
        self._running = 0
        self._deaths = 0
        self._life_over = asyncio.Event()
        self._is_frozen = False
        self.refusal = ""
        self.adjusts = False
        self.name = "fake"
        self.workers = 1
        self._tell: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """There is nothing to bring up."""
        if self.refusal:
            log.error("%s is refused: %s", self.name, self.refusal)
            self.play(workers=0)

    async def close(self) -> None:
        """Lose what runs."""
        self._end_life()

    def health(self) -> Health | None:
        """Say that all is well."""
        return Health(device="fake", base_model="fake", base_model_loaded=True, process_memory_bytes=0)

    def deaths(self) -> int:
        """Count the lives that ended of themselves."""
        return self._deaths

    @property
    def is_ready(self) -> bool:
        """Whether there is a worker."""
        return self.workers > 0

    def seats(self) -> int:
        """Give the number of workers that it plays."""
        return self.workers

    def tell_changes(self, tell: Callable[[], None]) -> None:
        """Remember whom to tell."""
        self._tell = tell

    def play(self, workers: int) -> None:
        """Go on as so many workers."""
        self.workers = workers
        self._tell()

    def kill(self) -> None:
        """Die, with all that runs, and be there again."""
        self._deaths += 1
        self._end_life()
        workers = self.workers
        self.play(workers=0)
        self.play(workers)

    def freeze(self) -> None:
        """Do nothing any more until that is noticed, which is the end of this life."""
        self._is_frozen = True
        asyncio.get_running_loop().call_later(NOTICED_S, self.kill)

    def _end_life(self) -> None:
        self._is_frozen = False
        self._life_over.set()
        self._life_over = asyncio.Event()

    async def prepare(self, photo: bytes, crop: Crop | None = None) -> None:
        """Take note."""
        self.prepared.append(photo)

    async def forget(self, photos: Sequence[str]) -> None:
        """Take note."""
        self.forgotten.extend(photos)

    async def run(self, request: JobRequest) -> AsyncGenerator[Event, None]:
        """Carry out one attempt."""
        self.requests.append(request)
        lose_at = self.lose_at.pop(0) if self.lose_at else None
        life_over, is_over, has_stepped = self._life_over, False, False
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        try:
            for event in self.work(request):
                if isinstance(event, Progress | Done | Failed):
                    await self._turn(life_over, may_wait=has_stepped)
                    has_stepped = True
                if isinstance(event, Progress) and request.job_id in self.poison:
                    self.kill()
                if life_over.is_set() or (isinstance(event, Progress) and event.step == lose_at):
                    is_over = True
                    raise WorkerLost("the fake worker was told to vanish")
                yield event
            is_over = True
        finally:
            self._running -= 1
            if not is_over:
                self.cancelled.append(request.job_id)

    async def _turn(self, life_over: asyncio.Event, may_wait: bool) -> None:
        """Wait until the job may go on, or this life is over."""
        await asyncio.sleep(0)
        if self._is_frozen:
            await life_over.wait()
        elif may_wait and not self.gate.is_set():
            await _first_of(self.gate, life_over)

    def work(self, request: JobRequest) -> Iterator[Event]:
        """Do the steps of an attempt, each beginning with its Progress."""
        job, attempt = request.job_id, request.attempt
        resume = request.resume if isinstance(request, Train) else None
        first, steps = int(resume) if resume else 0, self.steps
        yield Started(job_id=job, attempt=attempt, step=first, steps=steps)
        if isinstance(request, Train) and request.start_from and first == 0 and 0 in self.likeness:
            yield self._candidate(request, 0)
        for step in range(first + 1, steps + 1):
            yield Progress(job_id=job, attempt=attempt, step=step, steps=steps)
            yield from self._beside(request, step)
        yield self._last(request)

    def _beside(self, request: JobRequest, step: int) -> Iterator[Event]:
        job, attempt = request.job_id, request.attempt
        if isinstance(request, Train):
            if self.sample is not None:
                yield Sample(job_id=job, attempt=attempt, step=step, png=self.sample)
            if step in self.likeness:
                yield self._candidate(request, step)
            if self.adjusts:
                yield Adjusted(job_id=job, attempt=attempt, step=step, reason="One notch down.")
            yield Checkpoint(job_id=job, attempt=attempt, step=step, data=str(step).encode())
        elif self.preview is not None:
            yield Preview(job_id=job, attempt=attempt, png=self.preview)

    def _candidate(self, request: Train, step: int) -> Candidate:
        alike = self.likeness[step]
        return Candidate(
            job_id=request.job_id,
            attempt=request.attempt,
            step=request.start_step + step,
            lora=self.lora + f" of step {request.start_step + step}".encode(),
            pictures=(self.picture,),
            identities=((alike, math.sqrt(1 - alike**2)),),
            photo_identities=((1.0, 0.0),) * len(request.photos),
        )

    def _last(self, request: JobRequest) -> Event:
        job, attempt = request.job_id, request.attempt
        if self.fail_with is not None:
            return Failed(job_id=job, attempt=attempt, reason=self.fail_with)
        if isinstance(request, Train):
            return Done(job_id=job, attempt=attempt, lora=self.lora)
        recipes = tuple(_recipe(request, number) for number in range(request.count))
        alike = self.drawn_alike if request.compare_with else []
        return Done(
            job_id=job,
            attempt=attempt,
            pictures=(self.picture,) * request.count,
            recipes=recipes,
            identities=tuple((each, math.sqrt(1 - each**2)) for each in alike),
            compared_identities=((1.0, 0.0),) * len(request.compare_with) if alike else (),
        )


def _recipe(request: Generate, number: int) -> str:
    hashes = ", ".join(f"{lora.name}: {lora.sha256[:12]}" for lora in request.loras)
    size = f"{request.width_px or 512}x{request.height_px or 512}"
    return (
        f"{request.prompt}\nSteps: {request.steps or 25}, Sampler: {request.sampler or 'DPM++ 2M Karras'}, "
        f"CFG scale: {7.5 if request.guidance is None else request.guidance:g}, "
        f'Seed: {(request.seed or 0) + number}, Size: {size}, Model: fake, Lora hashes: "{hashes}"'
    )


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
