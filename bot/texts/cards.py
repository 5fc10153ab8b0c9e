"""What shows a job: its progress card, and the notices at its turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.core.jobs import GenerateWish, Job, JobKind, JobStatus, TrainWish
from bot.core.loras import format_code
from bot.core.messages import Button, Reply
from bot.core.outbox import Notice, NoticeKind
from bot.texts.language import ENGLISH, said_in, say
from bot.texts.likeness import likeness_figure, likeness_told
from bot.texts.results import result
from bot.texts.words import bar, example, left, quoted

#: Sentences of ours, not of the worker's, that jobs end with.
_OUR_FAILURES = ("photos-too-old", "worker-keeps-dying", "picture-gone", "lora-file-gone")


def cancel_button(job: Job) -> Button:
    """Give the button that cancels a job."""
    return Button(say("cancel"), f"cancel:{job.id}")


def my_codes_button(row: int | None = None) -> Button:
    """Give the button that lists a person's codes."""
    return Button(say("my-codes"), "codes", row)


def card(
    job: Job,
    eta_s: float | None,
    position: int | None,
    remark: str = "",
    preview: Path | None = None,
) -> Reply:
    """Show a job's progress; while the job is open this is the message that will be edited.

    A remark is a worker's sentence about a running job, a preview what its picture looks like so far.
    """
    title = _title(job)
    if job.status is JobStatus.QUEUED:
        place = say("in-line") if position is None else say("in-line-number", position=str(position))
        return Reply(f"{title}\n{place} · {left(eta_s)}", (cancel_button(job),), card_of=job.id)
    if job.status is JobStatus.RUNNING:
        so_far = likeness_figure(job.likeness)
        told = [say("card-so-far", likeness=so_far)] if so_far else []
        lines = [title, _progress(job, eta_s), *told, *([quoted(remark)] if remark else [])]
        pictures = () if preview is None else (preview,)
        return Reply("\n".join(lines), (cancel_button(job),), pictures, card_of=job.id)
    if job.status is JobStatus.FAILED:
        why = quoted(_why(job.error) or say("could-not-be-finished"))
        return Reply(f"{title}\n{say('card-failed', why=why)}")
    if job.status is JobStatus.CANCELLED:
        return Reply(f"{title}\n{say('card-cancelled')}")
    return Reply(f"{title}\n{bar(1.0)} 100 % · {say('card-done')}")


def notice(owed: Notice, picture_paths: Sequence[Path], keeps_photos: bool = False) -> Reply:
    """Write a message owed to a person, who may have photos of a training kept."""
    job, code = owed.job, format_code(owed.job.code)
    why = quoted(_why(job.error) or f"{say('could-not-be-finished')}.")
    match owed.kind:
        case NoticeKind.TRAIN_DONE:
            draw = Button(say("generate"), f"draw:{job.code}", 0)
            return Reply(_ready(job, keeps_photos), (draw, my_codes_button(0)), tuple(picture_paths))
        case NoticeKind.TRAIN_FAILED if job.goes_further:
            return Reply(say("notice-further-failed", code=code, why=why), (my_codes_button(),))
        case NoticeKind.TRAIN_FAILED:
            return Reply(say("notice-train-failed", code=code, why=why), (my_codes_button(),))
        case NoticeKind.TRAIN_RESUMED:
            return Reply(say("notice-train-resumed", code=code), (cancel_button(job),))
        case NoticeKind.GENERATE_DONE:
            return result(job, picture_paths)
        case NoticeKind.GENERATE_FAILED:
            return Reply(say("notice-generate-failed", code=code, why=why))
        case NoticeKind.CANCELLED:
            return cancelled(job)


def cancelled(job: Job) -> Reply:
    """Confirm that a job was cancelled."""
    key = "cancelled-training" if job.kind is JobKind.TRAIN else "cancelled-drawing"
    key = "cancelled-further" if job.goes_further else key
    return Reply(say(key, code=format_code(job.code)))


def _ready(job: Job, keeps_photos: bool) -> str:
    trigger = job.wish.trigger if isinstance(job.wish, TrainWish) else None
    code, photos = format_code(job.code), say("photos-kept" if keeps_photos else "photos-deleted")
    start_step = job.wish.start_step if isinstance(job.wish, TrainWish) else None
    if start_step is None:
        ready = say("notice-ready", code=code, photos=photos)
    elif job.likeness is not None and job.likeness.chosen == start_step:
        ready = say("notice-further-no-better", code=code, photos=photos, steps=job.steps or 0)
    else:
        ready = say("notice-further-ready", code=code, photos=photos, steps=job.steps or 0)
    told = " ".join(filter(None, (ready, likeness_told(job.likeness), say("try-it"))))
    return f"{told}\n{example(job.place.platform, job.code, trigger)}"


def _title(job: Job) -> str:
    if isinstance(job.wish, GenerateWish):
        return say("card-drawing", count=job.wish.count, code=format_code(job.code))
    return say("card-training", code=format_code(job.code))


def _progress(job: Job, eta_s: float | None) -> str:
    if not job.steps:
        return f"{bar(0.0)} {say('getting-ready')}" + ("" if eta_s is None else f" · {left(eta_s)}")
    share = min(1.0, job.step / job.steps)
    parts = [f"{bar(share)} {int(share * 100)} %", say("step-of", step=job.step, steps=job.steps)]
    if eta_s is not None:
        parts.append(left(eta_s))
    return " · ".join(parts)


def _why(error: str | None) -> str | None:
    # A job keeps the sentence it ended with in English; the worker's own sentences stay so.
    known = (key for key in _OUR_FAILURES if error == said_in(ENGLISH, key))
    return next((say(key) for key in known), error)
