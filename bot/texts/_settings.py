"""`/settings`: what a person wants where they say nothing. Each is a line, and buttons that change it."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import AccountId, Preferences
from bot.replies import Button, Choice, Reply
from bot.texts._drafts import chosen, style_buttons
from bot.texts._language import languages, said_in, say, spoken_language
from bot.texts._words import shape_name, style_label
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
