"""A backend for tests, without a process or a card: it runs steps in this event loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from bot.core.errors import WorkerLost
from gpu_worker.protocol import (
    CandidateEvent,
    CheckpointEvent,
    Crop,
    DoneEvent,
    FailedEvent,
    FallbackCause,
    FallbackEvent,
    GenerateRequest,
    JobProblem,
    JobRequest,
    Place,
    PrefetchRequest,
    PreviewEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
)

log = logging.getLogger(__name__)


class FakeBackend:
    """Answers every job with `steps` steps and the given results.

    `lost_at_steps` makes an attempt lose its worker at a step, once for each number in it, in order. A job in
    `crashing_jobs` kills the worker every time, with all jobs that run then. While `proceed_event` is
    cleared, every job waits after its step. `refusal_reason` is why a worker may do nothing.
    """

    def __init__(
        self,
        lora: bytes = b"lora",
        picture: bytes = b"picture",
        steps: int = 3,
        fail_with: JobProblem | None = None,
    ) -> None:
        self.lora = lora
        self.picture = picture
        self.steps = steps
        self.fail_with = fail_with
        self.lost_at_steps: list[int] = []
        self.crashing_jobs: set[int] = set()
        self.proceed_event = asyncio.Event()
        self.proceed_event.set()
        self.requests: list[JobRequest] = []
        self.cancelled_jobs: list[int] = []
        self.prefetched_photos: list[bytes] = []
        self.forgotten_hashes: list[str] = []
        self.sample_png: bytes | None = None  # a picture that a training gives at every step
        #: How alike a training's LoRA is to its photos after each step, 0 to 1; none: nothing is said of it.
        #: At 0 it is the one that is trained further.
        self.likeness_by_step: dict[int, float] = {}
        #: How alike each picture of a drawing is, where that is asked for; none: nothing is said of it.
        self.picture_likenesses: list[float] = []
        self.acceleration = ""  # the LoRA that fast pictures are drawn with
        self.ignores_weights = False  # in prompts, and its recipes say so
        self.preview_png: bytes | None = None  # a picture that a generation gives at every step
        self.max_concurrency = 0  # the most jobs that ran at the same time
        self._running_count = 0
        self._crash_count = 0
        self._process_ended = asyncio.Event()
        self.refusal_reason = ""
        self.emits_adjusted = False
        self.name = "fake"
        self.ready_workers = 1
        self._on_change: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Do nothing."""
        if self.refusal_reason:
            log.error("%s is refused: %s", self.name, self.refusal_reason)
            self.set_workers(workers=0)

    async def close(self) -> None:
        """Lose all running attempts."""
        self._end_process()

    def health(self) -> WorkerHealth | None:
        """Return the health of a worker that is well."""
        return WorkerHealth(device="fake", base_model="fake", base_model_loaded=True, process_memory_bytes=0)

    def crash_count(self) -> int:
        """Return the number of crashes."""
        return self._crash_count

    @property
    def is_ready(self) -> bool:
        """True if there is a worker."""
        return self.ready_workers > 0

    def worker_count(self) -> int:
        """Return the number of workers that it plays."""
        return self.ready_workers

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Add a callback for changes."""
        self._on_change = on_change

    def set_workers(self, workers: int) -> None:
        """Play another number of workers."""
        self.ready_workers = workers
        self._on_change()

    def crash(self) -> None:
        """Crash with all running attempts, and restart."""
        self._crash_count += 1
        self._end_process()
        worker_count = self.ready_workers
        self.set_workers(workers=0)
        self.set_workers(worker_count)

    def _end_process(self) -> None:
        self._process_ended.set()
        self._process_ended = asyncio.Event()

    async def prefetch(self, request: PrefetchRequest) -> None:
        """Record the photo."""
        self.prefetched_photos.append(request.photo)

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        """Record the photos."""
        self.forgotten_hashes.extend(photo_hashes)

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Run one attempt."""
        self.requests.append(request)
        lost_at_step = self.lost_at_steps.pop(0) if self.lost_at_steps else None
        process_ended, is_ended, has_stepped = self._process_ended, False, False
        self._running_count += 1
        self.max_concurrency = max(self.max_concurrency, self._running_count)
        try:
            for event in self.iter_events(request):
                if isinstance(event, ProgressEvent | DoneEvent | FailedEvent):
                    await self._wait_for_turn(process_ended, may_wait=has_stepped)
                    has_stepped = True
                if isinstance(event, ProgressEvent) and request.job_id in self.crashing_jobs:
                    self.crash()
                if process_ended.is_set() or (
                    isinstance(event, ProgressEvent) and event.step == lost_at_step
                ):
                    is_ended = True
                    raise WorkerLost("the fake worker was told to vanish")
                yield event
            is_ended = True
        finally:
            self._running_count -= 1
            if not is_ended:
                self.cancelled_jobs.append(request.job_id)

    async def _wait_for_turn(self, process_ended: asyncio.Event, may_wait: bool) -> None:
        """Wait until the job may continue, or this life is over."""
        await asyncio.sleep(0)
        if may_wait and not self.proceed_event.is_set():
            await _wait_for_any(self.proceed_event, process_ended)

    def iter_events(self, request: JobRequest) -> Iterator[WorkerEvent]:
        """Run the steps of an attempt, each beginning with its ProgressEvent."""
        job_id, attempt = request.job_id, request.attempt
        resume = request.resume_checkpoint if isinstance(request, TrainRequest) else None
        start_step, steps = int(resume) if resume else 0, self.steps
        yield StartedEvent(job_id=job_id, attempt=attempt, step=start_step, steps=steps)
        if (
            isinstance(request, TrainRequest)
            and request.initial_lora
            and start_step == 0
            and 0 in self.likeness_by_step
        ):
            yield self._make_candidate(request, 0)
        for step in range(start_step + 1, steps + 1):
            yield ProgressEvent(job_id=job_id, attempt=attempt, step=step, steps=steps)
            yield from self._step_events(request, step)
        yield self._final_event(request)

    def _step_events(self, request: JobRequest, step: int) -> Iterator[WorkerEvent]:
        job_id, attempt = request.job_id, request.attempt
        if isinstance(request, TrainRequest):
            if self.sample_png is not None:
                yield SampleEvent(job_id=job_id, attempt=attempt, step=step, png=self.sample_png)
            if step in self.likeness_by_step:
                yield self._make_candidate(request, step)
            if self.emits_adjusted:
                yield FallbackEvent(
                    job_id=job_id,
                    attempt=attempt,
                    step=step,
                    cause=FallbackCause.OUT_OF_MEMORY,
                    memory_mode="float32",
                )
            yield CheckpointEvent(job_id=job_id, attempt=attempt, step=step, data=str(step).encode())
        elif self.preview_png is not None:
            yield PreviewEvent(job_id=job_id, attempt=attempt, png=self.preview_png)

    def _make_candidate(self, request: TrainRequest, step: int) -> CandidateEvent:
        likeness = self.likeness_by_step[step]
        return CandidateEvent(
            job_id=request.job_id,
            attempt=request.attempt,
            step=request.start_step + step,
            lora=self.lora + f" of step {request.start_step + step}".encode(),
            pictures=(self.picture,),
            picture_embeddings=((likeness, math.sqrt(1 - likeness**2)),),
            photo_embeddings=((1.0, 0.0),) * len(request.photos),
        )

    def _final_event(self, request: JobRequest) -> WorkerEvent:
        job_id, attempt = request.job_id, request.attempt
        if self.fail_with is not None:
            return FailedEvent(job_id=job_id, attempt=attempt, problem=self.fail_with)
        if isinstance(request, TrainRequest):
            return DoneEvent(job_id=job_id, attempt=attempt, lora=self.lora)
        more = "Emphasis: Ignore, " if self.ignores_weights else ""
        if self.acceleration and request.is_fast:
            more += f"Acceleration: {self.acceleration}, "
        recipes = tuple(_format_recipe(request, number, more) for number in range(request.count))
        likenesses = self.picture_likenesses if request.reference_pictures else []
        people = sum(lora.place is not Place.EVERYWHERE for lora in request.loras)
        bands = tuple(Crop(number / people, 0.0, 1 / people, 1.0) for number in range(people))
        return DoneEvent(
            job_id=job_id,
            attempt=attempt,
            pictures=(self.picture,) * request.count,
            recipes=recipes,
            picture_embeddings=tuple((each, math.sqrt(1 - each**2)) for each in likenesses),
            reference_embeddings=((1.0, 0.0),) * len(request.reference_pictures) if likenesses else (),
            regions=(bands,) * request.count if people > 1 else (),
        )


def _format_recipe(request: GenerateRequest, number: int, more_settings: str) -> str:
    hashes = ", ".join(f"{lora.name}: {lora.sha256[:12]}" for lora in request.loras)
    size = f"{request.width_px or 512}x{request.height_px or 512}"
    return (
        f"{request.prompt}\nSteps: {request.steps or 25}, Sampler: {request.sampler or 'DPM++ 2M Karras'}, "
        f"CFG scale: {7.5 if request.guidance_scale is None else request.guidance_scale:g}, "
        f"Seed: {(request.seed or 0) + number}, Size: {size}, Model: fake, "
        f'{more_settings}Lora hashes: "{hashes}"'
    )


async def _wait_for_any(*events: asyncio.Event) -> None:
    wait_tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(wait_tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in wait_tasks:
            task.cancel()
