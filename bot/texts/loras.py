"""A person's LoraCodes: the list, and a card for each.

Training a Lora further, and the photos that are kept for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bot.core.accounts import Platform
from bot.core.loras import Allowed, Lora, LoraCode, LoraState, format_code
from bot.core.messages import Button, Reply
from bot.texts.language import say
from bot.texts.likeness import likeness_figure, likeness_told
from bot.texts.photo_sets import how_to_send
from bot.texts.words import age, allowed_name, example, state_name

MAX_CODES_LISTED = 20


MAX_CODE_BUTTONS = 8


MAX_SHARED_LISTED, MAX_SHARED_BUTTONS = 8, 2


_CODES_A_ROW = 2


def codes(
    loras: Sequence[Lora], now: datetime, platform: Platform, shared: Sequence[tuple[Lora, Allowed]] = ()
) -> Reply:
    """List a person's LoraCodes, newest first, with a button for each of the newest; then `shared` ones."""
    if not loras and not shared:
        return Reply(say("no-code-yet", how=how_to_send(platform)))
    lines = [
        " · ".join(
            part
            for part in (
                format_code(lora.code),
                lora.name,
                state_name(lora.state),
                age(now - lora.created_at),
            )
            if part
        )
        for lora in loras[:MAX_CODES_LISTED]
    ]
    if len(loras) > MAX_CODES_LISTED:
        lines.append(say("codes-older", more=str(len(loras) - MAX_CODES_LISTED)))
    if shared:
        lines.append(say("codes-shared"))
        lines += [
            f"{format_code(lora.code)} · {allowed_name(allowed)} · {state_name(lora.state)}"
            for lora, allowed in shared[:MAX_SHARED_LISTED]
        ]
        if len(shared) > MAX_SHARED_LISTED:
            lines.append(say("codes-more", more=str(len(shared) - MAX_SHARED_LISTED)))
    mine_first = [*loras, *(lora for lora, _ in shared)]
    ready = next((lora for lora in mine_first if lora.state is LoraState.READY), None)
    if ready is not None:
        lines.append(say("codes-try", example=example(platform, ready.code, ready.trigger)))
    buttons = [
        Button(lora.name or format_code(lora.code), f"code:{lora.code}", number // _CODES_A_ROW)
        for number, lora in enumerate(loras[:MAX_CODE_BUTTONS])
    ]
    drawing = [lora.code for lora, _ in shared if lora.state is LoraState.READY]
    buttons += [
        Button(
            say("codes-draw-with", code=format_code(code)),
            f"use:{code}",
            MAX_CODE_BUTTONS + number // _CODES_A_ROW,
        )
        for number, code in enumerate(drawing[:MAX_SHARED_BUTTONS])
    ]
    return Reply("\n".join(lines), tuple(buttons))


def code_card(lora: Lora, now: datetime, size_bytes: int | None) -> Reply:
    """Show one LoraCode and what can be done with it."""
    code = lora.code
    lines = [f"{format_code(code)} · {lora.name}" if lora.name else format_code(code)]
    about = [
        state_name(lora.state),
        age(now - lora.created_at),
        say("code-trigger", trigger=str(lora.trigger)),
    ]
    if size_bytes is not None:
        about.append(f"{size_bytes / 2**20:.1f} MB")
    lines.append(" · ".join(about))
    if figure := likeness_figure(lora.likeness):
        lines.append(figure.capitalize())
    ready = (
        Button(say("generate"), f"use:{code}", 0),
        Button(say("export-button"), f"export:{code}", 0),
        Button(say("share-button"), f"share:{code}", 0),
    )
    measured = Button(say("likeness-button"), f"likeness:{code}", 1)
    return Reply(
        "\n".join(lines),
        (
            *(ready if lora.state is LoraState.READY else ()),
            *((measured,) if figure else ()),
            *((Button(say("more-button"), f"more:{code}", 1),) if lora.state is LoraState.READY else ()),
            Button(say("rename-button"), f"rename:{code}", 1),
            Button(say("delete-button"), f"remove:{code}", 1),
            Button(say("all-my-codes"), "codes:all", 2),
        ),
    )


def likeness_card(lora: Lora, strip: Sequence[Path]) -> Reply:
    """Show how alike a LoraCode is, and what it drew while it learnt."""
    told = likeness_told(lora.likeness) or say("likeness-unknown")
    return Reply(f"{format_code(lora.code)}: {told}", pictures=tuple(strip))


def ask_new_name(lora: Lora, platform: Platform) -> Reply:
    """Ask for another name of a Lora."""
    key = "ask-new-name-discord" if platform is Platform.DISCORD else "ask-new-name"
    return Reply(say(key, code=format_code(lora.code)))


def ask_to_remove(lora: Lora) -> Reply:
    """Ask once before a Lora is gone for good."""
    return Reply(
        say("ask-to-remove", code=format_code(lora.code)),
        (
            Button(say("delete-for-good"), f"remove!:{lora.code}", 0),
            Button(say("keep-it"), f"code:{lora.code}", 0),
        ),
        replaces=True,
    )


def removed(code: LoraCode) -> Reply:
    """Confirm that a Lora is gone."""
    return Reply(say("removed", code=format_code(code)), replaces=True)
