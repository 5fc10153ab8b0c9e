"""Texts about one person: settings, stored data and its deletion, open jobs, linked accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.core.accounts import AccountId, Preferences
from bot.core.jobs import Estimate, Job, JobKind, JobStatus
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Button, Reply, Suggestion
from bot.core.photos import PHOTO_RETENTION
from bot.texts.language import current_language, languages, translate, translate_to
from bot.texts.results import mark_selected, style_buttons
from bot.texts.words import format_time_left, style_label
from gpu_worker.protocol import SHAPES

_DEFAULT_SHAPE = "square"


def settings_card(account: AccountId, preferences: Preferences, style: str) -> Reply:
    """Return the reply that shows the settings. `style` is the label of the chosen style."""
    shape = preferences.size or _DEFAULT_SHAPE
    language_line = translate(
        "settings-language" if preferences.language else "settings-language-of-app",
        language=_current_language_name(),
    )
    lines = [
        translate("settings-title"),
        translate("settings-size", size=translate(f"shape-{shape}")),
        translate("settings-style", style=style or translate("style-none")),
        translate("settings-silent" if preferences.is_silent else "settings-sound"),
        language_line,
        translate("settings-keeps-photos", days=PHOTO_RETENTION.days)
        if preferences.keeps_photos
        else translate("settings-forgets-photos"),
    ]
    return Reply("\n".join(lines), _settings_buttons(account, preferences, style, shape))


def _settings_buttons(
    account: AccountId, preferences: Preferences, style: str, shape: str
) -> tuple[Button, ...]:
    return (
        *(
            Button(
                mark_selected(translate(f"shape-{shape_option}").capitalize(), shape_option == shape),
                f"settings:{account}:size={shape_option}",
                0,
            )
            for shape_option in SHAPES
        ),
        Button(style_label(style), f"settings:{account}:style", 1),
        Button(
            mark_selected(translate("settings-sound-button"), not preferences.is_silent),
            f"settings:{account}:notices=sound",
            2,
        ),
        Button(
            mark_selected(translate("settings-silent-button"), preferences.is_silent),
            f"settings:{account}:notices=silent",
            2,
        ),
        *_language_buttons(preferences, account),
        Button(
            mark_selected(translate("settings-forget-button"), not preferences.keeps_photos),
            f"settings:{account}:photos=forget",
            4,
        ),
        Button(
            mark_selected(
                translate("settings-keep-button", days=PHOTO_RETENTION.days), preferences.keeps_photos
            ),
            f"settings:{account}:photos=keep",
            4,
        ),
    )


def settings_styles(account: AccountId, styles: Sequence[Suggestion], selected: str) -> Reply:
    """Return the reply that offers the styles."""
    return Reply(
        translate("settings-which-style"),
        style_buttons(styles, selected, f"settings:{account}"),
        edits_message=True,
    )


def _language_buttons(preferences: Preferences, account: AccountId) -> tuple[Button, ...]:
    # Each language is called what its own people call it: who reads no other can still find theirs.
    language_names = [(code, translate_to(code, "language-name")) for code in languages()]
    options = [("app", translate("settings-app-button"), not preferences.language)]
    options += [(code, name, code == preferences.language) for code, name in language_names]
    return tuple(
        Button(mark_selected(label, is_set), f"settings:{account}:language={value}", 3)
        for value, label, is_set in options
    )


def _current_language_name() -> str:
    return translate_to(current_language(), "language-name")


MAX_CODES_IN_RECEIPT = 20


class StoredDataCounts(Protocol):
    """How much is stored about a person."""

    @property
    def photos(self) -> int: ...
    @property
    def loras(self) -> int: ...
    @property
    def pictures(self) -> int: ...
    @property
    def jobs(self) -> int: ...


class ErasedItems(Protocol):
    """What was deleted of a person."""

    @property
    def codes(self) -> Sequence[LoraCode]: ...
    @property
    def photos(self) -> Sequence[str]: ...
    @property
    def pictures(self) -> Sequence[str]: ...
    @property
    def jobs(self) -> Sequence[int]: ...
    @property
    def platforms(self) -> Sequence[str]: ...


def erasure_question(counts: StoredDataCounts, account: AccountId, expires_s: int) -> Reply:
    """Return the question before everything of a person is deleted.

    Its button names the account and when it expires.
    """
    erase_button = Button(translate("delete-everything"), f"forgetme!:{account}:{expires_s}")
    return Reply(
        translate("ask-to-forget", kept=format_counts(counts)),
        (erase_button,),
        yes_action=erase_button.action,
    )


def erasure_receipt(erased_items: ErasedItems, at: datetime) -> Reply:
    """Return the receipt of a deletion."""
    receipt = translate(
        "forgotten",
        day=f"{at:%Y-%m-%d}",
        time=f"{at:%H:%M}",
        photos=len(erased_items.photos),
        codes=_format_codes(erased_items.codes),
        pictures=len(erased_items.pictures),
        jobs=len(erased_items.jobs),
        platforms=", ".join(platform.capitalize() for platform in erased_items.platforms)
        or translate("forgotten-none"),
    )
    return Reply(receipt, edits_message=True)


def _format_codes(codes: Sequence[LoraCode]) -> str:
    codes_text = ", ".join(format_code(code) for code in codes[:MAX_CODES_IN_RECEIPT])
    more_count = len(codes) - MAX_CODES_IN_RECEIPT
    if more_count > 0:
        return translate(
            "forgotten-codes-more", count=str(len(codes)), codes=codes_text, more=str(more_count)
        )
    return translate("forgotten-codes", count=str(len(codes)), codes=codes_text) if codes else "0"


def format_counts(counts: StoredDataCounts) -> str:
    """Return how much is stored about a person: `2 photos, 1 LoraCode, 4 pictures, 3 drawings`."""
    return ", ".join(
        (
            translate("kept-photos", count=counts.photos),
            translate("kept-codes", count=counts.loras),
            translate("pictures", count=counts.pictures),
            translate("kept-drawings", count=counts.jobs),
        )
    )


def job_queue(jobs: Sequence[tuple[Job, Estimate]]) -> Reply:
    """Return the list of a person's open jobs, oldest first. Each has a button that cancels it."""
    if not jobs:
        return Reply(translate("nothing-waits"))
    lines = [
        f"{_format_title(job)}: {_format_position(job, eta)} · {format_time_left(eta.remaining_s)}"
        for job, eta in jobs
    ]
    buttons = [
        Button(translate("queue-cancel", what=_format_title(job)), f"cancel:{job.id}") for job, _ in jobs
    ]
    return Reply("\n".join(lines), tuple(buttons))


def _format_title(job: Job) -> str:
    return format_code(job.code) if job.kind is JobKind.TRAIN else f"#{job.id}"


def _format_position(job: Job, eta: Estimate) -> str:
    is_training = job.kind is JobKind.TRAIN
    if job.status is JobStatus.RUNNING:
        return translate("queue-training-now" if is_training else "queue-drawing-now")
    position = str(eta.position)
    return translate("queue-training" if is_training else "queue-drawing", position=position)
