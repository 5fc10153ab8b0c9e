"""What waits and runs for a person."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import Job, JobKind, JobStatus, format_code
from bot.eta import Estimate
from bot.replies import Button, Reply
from bot.texts._language import say
from bot.texts._words import left


def queue(jobs: Sequence[tuple[Job, Estimate]]) -> Reply:
    """List a person's open jobs, the oldest first, with a button that cancels each."""
    if not jobs:
        return Reply(say("nothing-waits"))
    lines = [f"{_title(job)}: {_where(job, guess)} · {left(guess.left_s)}" for job, guess in jobs]
    buttons = [Button(say("queue-cancel", what=_title(job)), f"cancel:{job.id}") for job, _ in jobs]
    return Reply("\n".join(lines), tuple(buttons))


def _title(job: Job) -> str:
    return format_code(job.code) if job.kind is JobKind.TRAIN else f"#{job.id}"


def _where(job: Job, guess: Estimate) -> str:
    is_training = job.kind is JobKind.TRAIN
    if job.status is JobStatus.RUNNING:
        return say("queue-training-now" if is_training else "queue-drawing-now")
    position = str(guess.position)
    return say("queue-training" if is_training else "queue-drawing", position=position)
