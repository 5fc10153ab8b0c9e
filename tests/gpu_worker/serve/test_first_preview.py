"""How soon something is seen of a picture that is asked for while a training runs."""

from __future__ import annotations

from collections.abc import Generator

from gpu_worker.generation.generate import generate
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import DoneEvent, PreviewEvent, ProgressEvent, TrainRequest, WorkerEvent
from gpu_worker.serve.scheduler import ScheduledJob, StepScheduler
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.support.generated_images import alone, with_

TRAINING, PICTURE = (1, 1), (2, 1)


def test_the_first_preview_comes_within_three_steps_of_the_training(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    scheduler: StepScheduler[WorkerEvent] = StepScheduler(clock=lambda: 0.0)
    training = train(tiny, TrainRequest(job_id=1, attempt=1, photos=photos, steps=30), quick)
    picture = generate(alone(tiny), with_(is_fast=True, steps=6, preview_interval_s=4.0))
    scheduler.add(ScheduledJob(TRAINING, False, training))
    waited_steps = 0
    for _ in advance(scheduler, until=ProgressEvent):
        pass
    scheduler.add(ScheduledJob(PICTURE, True, picture))
    for key, event in advance(scheduler, until=PreviewEvent):
        waited_steps += key == TRAINING and isinstance(event, ProgressEvent)
        assert not isinstance(event, DoneEvent)
    assert waited_steps <= 3
    for job in scheduler.clear():
        job.steps.close()


def advance(
    scheduler: StepScheduler[WorkerEvent], until: type[WorkerEvent]
) -> Generator[tuple[tuple[int, int], WorkerEvent], None, None]:
    """Advance the jobs as the worker's loop does, each step a second long, up to an event of a kind."""
    while (job := scheduler.next_job()) is not None:
        event = next(job.steps)
        scheduler.record_step_time(job, 1.0)
        yield job.key, event
        if isinstance(event, until):
            return
