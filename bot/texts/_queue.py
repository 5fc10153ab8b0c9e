"""What waits and runs for a person."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import Job, JobKind, JobStatus, format_code
from bot.eta import Estimate
from bot.replies import Button, Reply
from bot.texts._words import left

NOTHING_WAITS = "Nothing of yours is running or in line. /train makes a LoraCode, /generate draws with one."


def queue(jobs: Sequence[tuple[Job, Estimate]]) -> Reply:
    """List a person's open jobs, the oldest first, with a button that cancels each."""
    if not jobs:
        return Reply(NOTHING_WAITS)
    lines = [f"{_title(job)}: {_where(job, guess)} · {left(guess.left_s)}" for job, guess in jobs]
    buttons = [Button(f"Cancel {_title(job)}", f"cancel:{job.id}") for job, _ in jobs]
    return Reply("\n".join(lines), tuple(buttons))


def _title(job: Job) -> str:
    return format_code(job.code) if job.kind is JobKind.TRAIN else f"#{job.id}"


def _where(job: Job, guess: Estimate) -> str:
    what = "training" if job.kind is JobKind.TRAIN else "drawing"
    if job.status is JobStatus.RUNNING:
        return f"{what} now"
    return f"{what}, in line: number {guess.position}"
