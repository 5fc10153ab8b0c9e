"""Choose the job that takes the next step. Pure: no torch, threads or pipes.

Jobs are generators that one thread advances step by step, so sharing the GPU needs no lock. A new generation
waits for at most the training step that is running, and a training keeps its share of the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

E = TypeVar("E")

#: Largest share of the time that generations may take from a training, over a window.
GENERATE_SHARE = 0.8
WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class ScheduledJob(Generic[E]):
    """A running job: `key` is job id and attempt, `steps` takes one step each time it is advanced."""

    key: tuple[int, int]
    is_generation: bool
    steps: Generator[E, None, None]


class StepScheduler(Generic[E]):
    """The running jobs. Generations go first, in turn; trainings also take turns among themselves.

    `generate_share` limits the time of generations while a training waits. The first step of a new
    generation may exceed that limit, after the one training step that it waits for.
    """

    def __init__(
        self,
        generate_share: float = GENERATE_SHARE,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._generate_share, self._window_s, self._clock = generate_share, window_s, clock
        self._new_generations: deque[ScheduledJob[E]] = deque()  # generations that have not had a step yet
        self._generations: deque[ScheduledJob[E]] = deque()
        self._trainings: deque[ScheduledJob[E]] = deque()
        self._generation_times: deque[tuple[float, float]] = (
            deque()
        )  # of generation steps: end time, duration in seconds
        self._has_just_trained = True

    def __len__(self) -> int:
        return len(self._new_generations) + len(self._generations) + len(self._trainings)

    @property
    def has_generation(self) -> bool:
        """Whether a generation is waiting or running."""
        return bool(self._new_generations or self._generations)

    def add(self, job: ScheduledJob[E]) -> None:
        """Add a job."""
        (self._new_generations if job.is_generation else self._trainings).append(job)

    def remove(self, key: tuple[int, int]) -> ScheduledJob[E] | None:
        """Remove and return a job; None if it is not there (another attempt, or it has ended)."""
        for queue in (self._new_generations, self._generations, self._trainings):
            for job in queue:
                if job.key == key:
                    queue.remove(job)
                    return job
        return None

    def next_job(self) -> ScheduledJob[E] | None:
        """Return the job that takes the next step; None if there is no job."""
        if self._trainings and not (self._can_start_generation() or self._can_run_generation()):
            self._has_just_trained = True
            self._trainings.rotate(-1)
            return self._trainings[-1]
        self._has_just_trained = False
        if self._new_generations:
            self._generations.append(self._new_generations.popleft())
            return self._generations[-1]
        if self._generations:
            self._generations.rotate(-1)
            return self._generations[-1]
        return None

    def record_step_time(self, job: ScheduledJob[E], elapsed_s: float) -> None:
        """Record the duration of a step."""
        # Only time that a training waited for counts.
        if job.is_generation and self._trainings:
            self._generation_times.append((self._clock(), elapsed_s))

    def clear(self) -> list[ScheduledJob[E]]:
        """Remove and return all jobs."""
        all_jobs = [*self._new_generations, *self._generations, *self._trainings]
        for queue in (self._new_generations, self._generations, self._trainings):
            queue.clear()
        return all_jobs

    def _can_start_generation(self) -> bool:
        """Return True if a new generation is next: it waits for one training step at most."""
        return bool(self._new_generations) and (self._has_just_trained or self._is_within_share())

    def _can_run_generation(self) -> bool:
        return bool(self._generations) and self._is_within_share()

    def _is_within_share(self) -> bool:
        now = self._clock()
        while self._generation_times and self._generation_times[0][0] <= now - self._window_s:
            self._generation_times.popleft()
        return (
            sum(elapsed_s for _, elapsed_s in self._generation_times) < self._generate_share * self._window_s
        )
