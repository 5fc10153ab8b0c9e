"""Texts about one job: the draft before it, its progress card and its notices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.core.accounts import PLATFORM_TRAITS, AccountId
from bot.core.jobs import (
    Draft,
    FailureReason,
    GenerationParams,
    Job,
    JobFailure,
    JobKind,
    JobStatus,
    TrainingParams,
)
from bot.core.loras import Lora, format_code
from bot.core.messages import Button, Reply, Suggestion
from bot.core.outbox import Notice, NoticeKind
from bot.core.photos import PHOTO_RETENTION
from bot.texts.language import translate
from bot.texts.likeness import format_likeness, likeness_summary
from bot.texts.results import mark_selected, result_card, style_buttons
from bot.texts.words import example_command, format_time_left, progress_bar, style_label, truncate
from gpu_worker.protocol import SHAPES, FallbackCause, JobProblem

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


MAX_CODES_OFFERED = 8
_COUNTS = (1, 2, 4)
_CODES_PER_ROW = 2


def choose_code(account: AccountId, loras: Sequence[Lora], is_draft: bool = False) -> Reply:
    """Return the question for the LoraCode that draws, newest first."""
    buttons = [
        Button(format_code(lora.code), f"draft:{account}:code={lora.code}", number // _CODES_PER_ROW)
        if is_draft
        else Button(format_code(lora.code), f"use:{lora.code}", number // _CODES_PER_ROW)
        for number, lora in enumerate(loras[:MAX_CODES_OFFERED])
    ]
    return Reply(translate("choose-code"), tuple(buttons))


def draft_card(draft: Draft, style: str, replaces: bool = True) -> Reply:
    """Return the draft: what is chosen, and buttons for the rest. `style` is the label of its style."""
    params = draft.params
    # A platform with forms does not show us what is written where others read along: a form asks for it.
    has_form = PLATFORM_TRAITS[draft.address.platform].has_forms
    form_key = "draft-with-form-or-words" if draft.waits_for_words else "draft-with-form"
    plain_key = "draft-in-group" if draft.address.hears_replies_only else "draft"
    text = translate(
        form_key if has_form else plain_key,
        code=format_code(draft.code),
        style=style or translate("style-none"),
        size=_format_size(params),
        count=params.count,
    )
    shape_buttons = [
        Button(
            mark_selected(translate(f"shape-{shape}").capitalize(), shape == params.shape),
            f"draft:{draft.account}:size={shape}",
            1,
        )
        for shape in SHAPES
    ]
    count_buttons = [
        Button(
            mark_selected(translate("pictures", count=count), count == params.count),
            f"draft:{draft.account}:n={count}",
            2,
        )
        for count in _COUNTS
    ]
    buttons = (
        Button(style_label(style), f"draft:{draft.account}:style", 0),
        *shape_buttons,
        *count_buttons,
        *((Button(translate("draft-write"), f"draft:{draft.account}:write", 3),) if has_form else ()),
        Button(translate("draft-drop"), f"draft:{draft.account}:drop", 3),
    )
    asks_for_words = draft.waits_for_words and not draft.message_ids
    return Reply(text, buttons, edits_message=replaces, asks_for_words=asks_for_words)


def draft_styles(draft: Draft, styles: Sequence[Suggestion]) -> Reply:
    """Return the reply that offers the styles."""
    buttons = style_buttons(styles, draft.params.style, f"draft:{draft.account}")
    return Reply(translate("which-style"), buttons, edits_message=True)


def ask_to_draw(draft: Draft) -> Reply:
    """Return the question whether words that read like talk are the prompt."""
    return Reply(
        translate("ask-to-draw", words=truncate(draft.params.prompt)),
        (
            Button(translate("draw-these"), f"draft:{draft.account}:draw", 0),
            Button(translate("draft-drop"), f"draft:{draft.account}:drop", 0),
        ),
        yes_action=f"draft:{draft.account}:draw",
    )


def _format_size(params: GenerationParams) -> str:
    if params.width_px is not None:
        return f"{params.width_px}x{params.height_px}"
    if ":" in params.shape:  # a ratio
        return params.shape
    return translate(f"shape-{params.shape or 'square'}")
