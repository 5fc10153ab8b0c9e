"""Putting a generation together by buttons."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import Draft, GenerateWish, Lora, Platform, format_code
from bot.replies import Button, Choice, Reply
from bot.texts._language import say
from bot.texts._words import shape_name, style_label
from gpu_worker.protocol import SHAPES

MAX_CODES_OFFERED = 8
_COUNTS = (1, 2, 4)
_CODES_A_ROW, _STYLES_A_ROW = 2, 3


def draft_dropped() -> Reply:
    """Confirm that a draft is gone."""
    return Reply(say("draft-dropped"), replaces=True)


def choose_code(loras: Sequence[Lora], of_draft: bool = False) -> Reply:
    """Ask which of several LoraCodes shall draw, the draft if there is one; the newest come first."""
    buttons = [
        Button(format_code(each.code), f"draft:code={each.code}", number // _CODES_A_ROW)
        if of_draft
        else Button(format_code(each.code), f"use:{each.code}", number // _CODES_A_ROW)
        for number, each in enumerate(loras[:MAX_CODES_OFFERED])
    ]
    return Reply(say("choose-code"), tuple(buttons))


def draft(draft: Draft, style: str, replaces: bool = True) -> Reply:
    """Show what is chosen so far and what else may be; `style` is its label."""
    wish = draft.wish
    # Where others read along on Discord, we do not see what is written: a form asks for it.
    has_form = draft.place.platform is Platform.DISCORD
    text = say(
        "draft-with-form" if has_form else "draft",
        code=format_code(draft.code),
        style=style or say("style-none"),
        size=_size(wish),
        count=wish.count,
    )
    shapes = [
        Button(chosen(shape_name(shape).capitalize(), shape == wish.shape), f"draft:size={shape}", 1)
        for shape in SHAPES
    ]
    counts = [
        Button(chosen(say("pictures", count=count), count == wish.count), f"draft:n={count}", 2)
        for count in _COUNTS
    ]
    buttons = (
        Button(style_label(style), "draft:style", 0),
        *shapes,
        *counts,
        *((Button(say("draft-write"), "draft:write", 3),) if has_form else ()),
        Button(say("draft-drop"), "draft:drop", 3),
    )
    return Reply(text, buttons, replaces=replaces)


def draft_styles(styles: Sequence[Choice], now: str) -> Reply:
    """Offer the styles."""
    return Reply(say("which-style"), style_buttons(styles, now, "draft"), replaces=True)


def style_buttons(styles: Sequence[Choice], now: str, of: str) -> tuple[Button, ...]:
    """Give a button for each style, and one for none; `now` is the one that is chosen."""
    buttons = [
        Button(chosen(style.label, style.value == now), f"{of}:style={style.value}", number // _STYLES_A_ROW)
        for number, style in enumerate(styles)
    ]
    none = Button(chosen(say("no-style"), not now), f"{of}:style=", len(styles) // _STYLES_A_ROW + 1)
    return (*buttons, none)


def _size(wish: GenerateWish) -> str:
    if wish.width_px is not None:
        return f"{wish.width_px}x{wish.height_px}"
    return shape_name(wish.shape or "square")


def chosen(label: str, is_chosen: bool) -> str:
    """Mark the label of what is chosen."""
    return f"✓ {label}" if is_chosen else label
