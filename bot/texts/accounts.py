"""`/settings`: what a person wants where they say nothing. Each is a line, and buttons that change it.

What people are told of what is kept of them, and of its end.

What waits and runs for a person.

Joining one person's accounts on two platforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from bot.core.accounts import AccountId, Preferences
from bot.core.jobs import Estimate, Job, JobKind, JobStatus
from bot.core.loras import LoraCode, format_code
from bot.core.messages import Button, Choice, Reply
from bot.texts.language import languages, said_in, say, spoken_language
from bot.texts.results import chosen, style_buttons
from bot.texts.words import left, shape_name, style_label
from gpu_worker.protocol import SHAPES

_DEFAULT_SHAPE = "square"


def settings(account: AccountId, wanted: Preferences, style: str) -> Reply:
    """Show what is set and what else may be; `style` is the label of the one that is."""
    shape = wanted.size or _DEFAULT_SHAPE
    spoken = say("settings-language" if wanted.language else "settings-language-of-app", language=_named())
    lines = [
        say("settings-title"),
        say("settings-size", size=shape_name(shape)),
        say("settings-style", style=style or say("style-none")),
        say("settings-silent" if wanted.is_silent else "settings-sound"),
        spoken,
        say("settings-keeps-photos" if wanted.keeps_photos else "settings-forgets-photos"),
    ]
    buttons = (
        *(
            Button(chosen(shape_name(each).capitalize(), each == shape), f"settings:{account}:size={each}", 0)
            for each in SHAPES
        ),
        Button(style_label(style), f"settings:{account}:style", 1),
        Button(
            chosen(say("settings-sound-button"), not wanted.is_silent), f"settings:{account}:notices=sound", 2
        ),
        Button(
            chosen(say("settings-silent-button"), wanted.is_silent), f"settings:{account}:notices=silent", 2
        ),
        *_language_buttons(wanted, account),
        Button(
            chosen(say("settings-forget-button"), not wanted.keeps_photos),
            f"settings:{account}:photos=forget",
            4,
        ),
        Button(
            chosen(say("settings-keep-button"), wanted.keeps_photos), f"settings:{account}:photos=keep", 4
        ),
    )
    return Reply("\n".join(lines), buttons)


def settings_styles(account: AccountId, styles: Sequence[Choice], set_now: str) -> Reply:
    """Offer the styles."""
    return Reply(
        say("settings-which-style"),
        style_buttons(styles, set_now, f"settings:{account}"),
        replaces=True,
    )


def _language_buttons(wanted: Preferences, account: AccountId) -> tuple[Button, ...]:
    # Each language is called what its own people call it: who reads no other can still find theirs.
    named = [(code, said_in(code, "language-name")) for code in languages()]
    offered = [("app", say("settings-app-button"), not wanted.language)]
    offered += [(code, name, code == wanted.language) for code, name in named]
    return tuple(
        Button(chosen(label, is_set), f"settings:{account}:language={value}", 3)
        for value, label, is_set in offered
    )


def _named() -> str:
    return said_in(spoken_language(), "language-name")


MAX_CODES_IN_RECEIPT = 20


class Kept(Protocol):
    """How much is kept of a person."""

    @property
    def photos(self) -> int: ...
    @property
    def loras(self) -> int: ...
    @property
    def pictures(self) -> int: ...
    @property
    def jobs(self) -> int: ...


class Gone(Protocol):
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


def privacy(kept: Kept) -> Reply:
    """Say what is kept, how long, and who sees it."""
    return Reply(say("privacy", kept=_counted(kept)))


def ask_to_forget(kept: Kept, account: AccountId, until_s: int) -> Reply:
    """Ask once before everything of a person is gone for good; the button knows whom it asks, until when."""
    yes = Button(say("delete-everything"), f"forgetme!:{account}:{until_s}")
    return Reply(say("ask-to-forget", kept=_counted(kept)), (yes,))


def forgotten(gone: Gone, at: datetime) -> Reply:
    """Give the receipt."""
    receipt = say(
        "forgotten",
        day=f"{at:%Y-%m-%d}",
        time=f"{at:%H:%M}",
        photos=len(gone.photos),
        codes=_codes(gone.codes),
        pictures=len(gone.pictures),
        jobs=len(gone.jobs),
        platforms=", ".join(each.capitalize() for each in gone.platforms) or say("forgotten-none"),
    )
    return Reply(receipt, replaces=True)


def _codes(codes: Sequence[LoraCode]) -> str:
    shown = ", ".join(format_code(code) for code in codes[:MAX_CODES_IN_RECEIPT])
    more = len(codes) - MAX_CODES_IN_RECEIPT
    if more > 0:
        return say("forgotten-codes-more", count=str(len(codes)), codes=shown, more=str(more))
    return say("forgotten-codes", count=str(len(codes)), codes=shown) if codes else "0"


def _counted(kept: Kept) -> str:
    return ", ".join(
        (
            say("kept-photos", count=kept.photos),
            say("kept-codes", count=kept.loras),
            say("pictures", count=kept.pictures),
            say("kept-drawings", count=kept.jobs),
        )
    )


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


def link_word(word: str) -> Reply:
    """Show the word that joins accounts."""
    return Reply(say("link-word", word=word))


def linked() -> Reply:
    """Say that two accounts are one."""
    return Reply(say("linked"))
