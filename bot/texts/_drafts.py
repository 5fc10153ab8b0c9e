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
        Button(_chosen(shape.capitalize(), shape == wish.shape), f"draft:size={shape}", 1) for shape in SHAPES
    ]
    counts = [
        Button(
            _chosen(f"{count} picture{'s' if count > 1 else ''}", count == wish.count), f"draft:n={count}", 2
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


def draft_styles(styles: Sequence[Choice], chosen: str) -> Reply:
    """Offer the styles."""
    buttons = [
        Button(
            _chosen(style.label, style.value == chosen), f"draft:style={style.value}", number // _STYLES_A_ROW
        )
        for number, style in enumerate(styles)
    ]
    none = Button(_chosen("No style", not chosen), "draft:style=", len(styles) // _STYLES_A_ROW + 1)
    return Reply("Which style?", (*buttons, none), replaces=True)


def _size(wish: GenerateWish) -> str:
    if wish.width_px is not None:
        return f"{wish.width_px}x{wish.height_px}"
    return wish.shape or "square"


def _chosen(label: str, is_chosen: bool) -> str:
    return f"✓ {label}" if is_chosen else label
