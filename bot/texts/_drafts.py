"""Putting a generation together by buttons."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import Draft, GenerateWish, Lora, format_code
from bot.replies import Button, Choice, Reply
from gpu_worker.protocol import SHAPES

MAX_CODES_OFFERED = 8
_COUNTS = (1, 2, 4)
_CODES_A_ROW, _STYLES_A_ROW = 2, 3

NO_READY_CODE = "You have no LoraCode that can draw yet. /codes shows where they stand; /train makes one."
DRAFT_GONE = "I have forgotten that one; /generate begins anew."
DRAFT_DROPPED = Reply("Dropped. /generate begins anew.", replaces=True)


def choose_code(loras: Sequence[Lora]) -> Reply:
    """Ask which of several LoraCodes shall draw; the newest come first."""
    buttons = [
        Button(format_code(lora.code), f"use:{lora.code}", number // _CODES_A_ROW)
        for number, lora in enumerate(loras[:MAX_CODES_OFFERED])
    ]
    return Reply("Which LoraCode shall draw?", tuple(buttons))


def draft(draft: Draft, style: str, replaces: bool = True) -> Reply:
    """Show what is chosen so far and what else may be; `style` is its label."""
    wish = draft.wish
    lines = [
        f"With {format_code(draft.code)} · style: {style or 'none'} · size: {_size(wish)}"
        f" · pictures: {wish.count}",
        "Now write what to draw.",
    ]
    shapes = [
        Button(chosen(shape.capitalize(), shape == wish.shape), f"draft:size={shape}", 1) for shape in SHAPES
    ]
    counts = [
        Button(
            chosen(f"{count} picture{'s' if count > 1 else ''}", count == wish.count), f"draft:n={count}", 2
        )
        for count in _COUNTS
    ]
    buttons = (
        Button(f"Style: {style}" if style else "Style", "draft:style", 0),
        *shapes,
        *counts,
        Button("Drop", "draft:drop", 3),
    )
    return Reply("\n".join(lines), buttons, replaces=replaces)


def draft_styles(styles: Sequence[Choice], now: str) -> Reply:
    """Offer the styles."""
    return Reply("Which style?", style_buttons(styles, now, "draft:style="), replaces=True)


def style_buttons(styles: Sequence[Choice], now: str, action: str) -> tuple[Button, ...]:
    """Give a button for each style, and one for none; `now` is the one that is chosen."""
    buttons = [
        Button(chosen(style.label, style.value == now), f"{action}{style.value}", number // _STYLES_A_ROW)
        for number, style in enumerate(styles)
    ]
    none = Button(chosen("No style", not now), action, len(styles) // _STYLES_A_ROW + 1)
    return (*buttons, none)


def _size(wish: GenerateWish) -> str:
    if wish.width_px is not None:
        return f"{wish.width_px}x{wish.height_px}"
    return wish.shape or "square"


def chosen(label: str, is_chosen: bool) -> str:
    """Mark the label of what is chosen."""
    return f"✓ {label}" if is_chosen else label
