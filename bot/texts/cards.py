"""Texts about one job: its progress card and its notices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.core.jobs import FailureReason, GenerationParams, Job, JobFailure, JobKind, JobStatus, TrainingParams
from bot.core.loras import format_code
from bot.core.messages import Button, Reply
from bot.core.outbox import Notice, NoticeKind
from bot.core.photos import PHOTO_RETENTION
from bot.texts.language import translate
from bot.texts.likeness import format_likeness, likeness_summary
from bot.texts.results import result_card
from bot.texts.words import example_command, format_time_left, progress_bar, truncate
from gpu_worker.protocol import FallbackCause, JobProblem

_FAILURE_KEYS = {
    FailureReason.PHOTOS_EXPIRED: "photos-too-old",
    FailureReason.WORKER_CRASHED: "worker-keeps-dying",
    FailureReason.START_PICTURE_GONE: "picture-gone",
    FailureReason.LORA_FILE_GONE: "lora-file-gone",
}


def cancel_button(job: Job) -> Button:
    """Return the button that cancels a job."""
    return Button(translate("cancel"), f"cancel:{job.id}")


def my_codes_button(row: int | None = None) -> Button:
    """Return the button that lists a person's codes."""
    return Button(translate("my-codes"), "codes", row)


def job_card(
    job: Job,
    eta_s: float | None,
    position: int | None,
    fallback: FallbackCause | None = None,
    preview: Path | None = None,
) -> Reply:
    """Return the progress card of a job. While the job is open, this message is edited.

    `remark` is a worker's sentence about a running job. `preview` is the file of its latest preview.
    """
    title = _format_title(job)
    if job.status is JobStatus.QUEUED:
        position_text = (
            translate("in-line") if position is None else translate("in-line-number", position=str(position))
        )
        return Reply(
            f"{title}\n{position_text} · {format_time_left(eta_s)}", (cancel_button(job),), card_job_id=job.id
        )
    if job.status is JobStatus.RUNNING:
        likeness_text = format_likeness(job.likeness)
        likeness_lines = [translate("card-so-far", likeness=likeness_text)] if likeness_text else []
        lines = [
            title,
            _format_progress(job, eta_s),
            *likeness_lines,
            *([translate(f"fallback-{fallback}")] if fallback else []),
        ]
        pictures = () if preview is None else (preview,)
        return Reply("\n".join(lines), (cancel_button(job),), pictures, card_job_id=job.id)
    if job.status is JobStatus.FAILED:
        reason = truncate(failure_sentence(job.error) or translate("could-not-be-finished"))
        return Reply(f"{title}\n{translate('card-failed', why=reason)}")
    if job.status is JobStatus.CANCELLED:
        return Reply(f"{title}\n{translate('card-cancelled')}")
    return Reply(f"{title}\n{progress_bar(1.0)} 100 % · {translate('card-done')}")


def notice_reply(notice: Notice, picture_paths: Sequence[Path], keeps_photos: bool = False) -> Reply:
    """Return the message that is owed about a job. `keeps_photos` is the person's setting."""
    job, code = notice.job, format_code(notice.job.code)
    reason = truncate(failure_sentence(job.error) or f"{translate('could-not-be-finished')}.")
    match notice.kind:
        case NoticeKind.TRAIN_DONE:
            generate_button = Button(translate("generate"), f"draw:{job.code}", 0)
            return Reply(
                _format_ready(job, keeps_photos), (generate_button, my_codes_button(0)), tuple(picture_paths)
            )
        case NoticeKind.TRAIN_FAILED if job.is_continuation:
            return Reply(translate("notice-further-failed", code=code, why=reason), (my_codes_button(),))
        case NoticeKind.TRAIN_FAILED:
            return Reply(translate("notice-train-failed", code=code, why=reason), (my_codes_button(),))
        case NoticeKind.TRAIN_RESUMED:
            return Reply(translate("notice-train-resumed", code=code), (cancel_button(job),))
        case NoticeKind.GENERATE_DONE:
            return result_card(job, picture_paths)
        case NoticeKind.GENERATE_FAILED:
            return Reply(translate("notice-generate-failed", code=code, why=reason))
        case NoticeKind.CANCELLED:
            return job_cancelled(job)


def job_cancelled(job: Job) -> Reply:
    """Return the reply that confirms that a job was cancelled."""
    key = "cancelled-training" if job.kind is JobKind.TRAIN else "cancelled-drawing"
    key = "cancelled-further" if job.is_continuation else key
    return Reply(translate(key, code=format_code(job.code)))


def _format_ready(job: Job, keeps_photos: bool) -> str:
    trigger = job.params.trigger if isinstance(job.params, TrainingParams) else None
    code, photos_text = format_code(job.code), translate("photos-deleted")
    if keeps_photos:
        photos_text = translate("photos-kept", days=PHOTO_RETENTION.days)
    start_step = job.params.start_step if isinstance(job.params, TrainingParams) else None
    if start_step is None:
        ready_text = translate("notice-ready", code=code, photos=photos_text)
    elif job.likeness is not None and job.likeness.chosen == start_step:
        ready_text = translate(
            "notice-further-no-better", code=code, photos=photos_text, steps=job.steps or 0
        )
    else:
        ready_text = translate("notice-further-ready", code=code, photos=photos_text, steps=job.steps or 0)
    # Told once, as later trainings have the same trigger.
    trigger_text = (
        translate("trigger-means", trigger=str(trigger)) if trigger is not None and start_step is None else ""
    )
    text = " ".join(
        filter(None, (ready_text, likeness_summary(job.likeness), trigger_text, translate("try-it")))
    )
    return f"{text}\n{example_command(job.address.platform, job.code, trigger)}"


def _format_title(job: Job) -> str:
    if isinstance(job.params, GenerationParams):
        return translate("card-drawing", count=job.params.count, code=format_code(job.code))
    return translate("card-training", code=format_code(job.code))


def _format_progress(job: Job, eta_s: float | None) -> str:
    if not job.steps:
        return f"{progress_bar(0.0)} {translate('getting-ready')}" + (
            "" if eta_s is None else f" · {format_time_left(eta_s)}"
        )
    fraction = min(1.0, job.step / job.steps)
    parts = [
        f"{progress_bar(fraction)} {int(fraction * 100)} %",
        translate("step-of", step=job.step, steps=job.steps),
    ]
    if eta_s is not None:
        parts.append(format_time_left(eta_s))
    return " · ".join(parts)


def failure_sentence(failure: JobFailure | None) -> str | None:
    """Return why a job failed, in the person's language; None when nothing is known.

    Earlier versions kept a sentence of the worker, which stays in English.
    """
    if failure is None:
        return None
    if failure.reason in _FAILURE_KEYS:
        return translate(_FAILURE_KEYS[FailureReason(failure.reason)], days=PHOTO_RETENTION.days)
    if failure.reason in set(JobProblem):
        return translate(f"worker-{failure.reason}", **failure.values)
    return failure.sentence or None


def question_dropped(key: str, *, has_jobs: bool) -> Reply:
    """Return what `/cancel` says of a question that it ended; jobs go on, and it says how to stop them."""
    return Reply(" ".join([translate(key), *([translate("jobs-go-on")] if has_jobs else [])]))
