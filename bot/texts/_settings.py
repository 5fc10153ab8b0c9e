"""`/settings`: what a person wants where they say nothing. Each is a line, and buttons that change it."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import AccountId, Preferences
from bot.replies import Button, Choice, Reply
from bot.texts._drafts import chosen, style_buttons
from gpu_worker.protocol import SHAPES

_DEFAULT_SHAPE = "square"


def settings(account: AccountId, wanted: Preferences, style: str) -> Reply:
    """Show what is set and what else may be; `style` is the label of the one that is."""
    shape = wanted.size or _DEFAULT_SHAPE
    lines = [
        "What I take where you do not say otherwise:",
        f"Size: {shape}",
        f"Style: {style or 'none'}",
        f"Notices: {'silent' if wanted.is_silent else 'with a sound'}",
    ]
    of = f"settings:{account}"
    buttons = (
        *(Button(chosen(each.capitalize(), each == shape), f"{of}:size={each}", 0) for each in SHAPES),
        Button(f"Style: {style}" if style else "Style", f"{of}:style", 1),
        Button(chosen("With a sound", not wanted.is_silent), f"{of}:notices=sound", 2),
        Button(chosen("Silent", wanted.is_silent), f"{of}:notices=silent", 2),
    )
    return Reply("\n".join(lines), buttons)


def settings_styles(account: AccountId, styles: Sequence[Choice], set_now: str) -> Reply:
    """Offer the styles."""
    return Reply(
        "Which style, where you name none? --style none draws without.",
        style_buttons(styles, set_now, f"settings:{account}:style="),
        replaces=True,
    )
