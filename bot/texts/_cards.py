"""What shows a job: its progress card, and the notices at its turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.domain import (
    GenerateWish,
    Job,
    JobKind,
    JobStatus,
    LikenessReport,
    Notice,
    NoticeKind,
    TrainWish,
    format_code,
)
from bot.replies import Button, Reply
from bot.texts._likeness import likeness_figure, likeness_told
from bot.texts._results import result
from bot.texts._words import bar, example, left, plural, quoted

MY_CODES = Button("My codes", "codes")


def cancel_button(job: Job) -> Button:
    """Give the button that cancels a job."""
    return Button("Cancel", f"cancel:{job.id}")


def card(
    job: Job,
    eta_s: float | None,
    position: int | None,
    remark: str = "",
    preview: Path | None = None,
    likeness: LikenessReport | None = None,
) -> Reply:
    """Show a job's progress; while the job is open this is the message that will be edited.

    A remark is a worker's sentence about a running job, a preview what its picture looks like so far, and
    likeness what was measured of a training.
    """
    title = _title(job)
    if job.status is JobStatus.QUEUED:
        place = "In line" if position is None else f"In line: number {position}"
        return Reply(f"{title}\n{place} · {left(eta_s)}", (cancel_button(job),), card_of=job.id)
    if job.status is JobStatus.RUNNING:
        so_far = likeness_figure(likeness)
        told = [f"So far: {so_far}"] if so_far else []
        lines = [title, _progress(job, eta_s), *told, *([quoted(remark)] if remark else [])]
        pictures = () if preview is None else (preview,)
        return Reply("\n".join(lines), (cancel_button(job),), pictures, card_of=job.id)
    if job.status is JobStatus.FAILED:
        return Reply(f"{title}\nFailed: {quoted(job.error or 'it could not be finished')}")
    if job.status is JobStatus.CANCELLED:
        return Reply(f"{title}\nCancelled.")
    return Reply(f"{title}\n{bar(1.0)} 100 % · done")


def notice(owed: Notice, picture_paths: Sequence[Path], likeness: LikenessReport | None = None) -> Reply:
    """Write a message owed to a person; likeness is what was measured of a training that is done."""
    job, code = owed.job, format_code(owed.job.code)
    why = quoted(job.error or "it could not be finished.")
    match owed.kind:
        case NoticeKind.TRAIN_DONE:
            trigger = job.wish.trigger if isinstance(job.wish, TrainWish) else None
            command = example(job.place.platform, job.code, trigger)
            told = likeness_told(likeness)
            text = f"{code} is ready, and your photos are deleted. {told and told + ' '}Try:\n{command}"
            return Reply(text, (MY_CODES,), tuple(picture_paths))
        case NoticeKind.TRAIN_FAILED:
            return Reply(
                f"The training of {code} failed: {why}\nYour photos are deleted. To try again: /train",
                (MY_CODES,),
            )
        case NoticeKind.TRAIN_RESUMED:
            text = f"The training of {code} was interrupted and goes on by itself. You need not do anything."
            return Reply(text, (cancel_button(job),))
        case NoticeKind.GENERATE_DONE:
            return result(job, picture_paths)
        case NoticeKind.GENERATE_FAILED:
            return Reply(f"No picture with {code}: {why}\nYour LoraCode is fine; ask again with /generate.")
        case NoticeKind.CANCELLED:
            return cancelled(job)


def cancelled(job: Job) -> Reply:
    """Confirm that a job was cancelled."""
    if job.kind is JobKind.TRAIN:
        return Reply(
            f"Cancelled: {format_code(job.code)} will not be trained, and its photos are deleted. "
            "Send five photos to begin again: /train"
        )
    return Reply(f"Cancelled: no pictures this time. {format_code(job.code)} is still yours.")


def _title(job: Job) -> str:
    if isinstance(job.wish, GenerateWish):
        return f"Drawing {job.wish.count} picture{plural(job.wish.count)} with {format_code(job.code)}"
    return f"Training {format_code(job.code)}"


def _progress(job: Job, eta_s: float | None) -> str:
    if not job.steps:
        return f"{bar(0.0)} getting ready" + ("" if eta_s is None else f" · {left(eta_s)}")
    share = min(1.0, job.step / job.steps)
    parts = [f"{bar(share)} {int(share * 100)} %", f"step {job.step} of {job.steps}"]
    if eta_s is not None:
        parts.append(left(eta_s))
    return " · ".join(parts)
