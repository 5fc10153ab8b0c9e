"""Texts about a person's LoraCodes: the list, a card for each, and their deletion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from bot.core.accounts import PLATFORM_TRAITS, ChatAddress, Platform
from bot.core.loras import Lora, LoraCode, LoraState, Permission, format_code
from bot.core.messages import Button, Reply
from bot.texts.language import translate
from bot.texts.likeness import format_likeness, likeness_summary
from bot.texts.words import example_command, format_age

MAX_CODES_LISTED = 20


MAX_CODE_BUTTONS = 8


MAX_SHARED_LISTED, MAX_SHARED_BUTTONS = 8, 2


_CODES_PER_ROW = 2


def lora_list(
    loras: Sequence[Lora],
    now: datetime,
    platform: Platform,
    shared_loras: Sequence[tuple[Lora, Permission]] = (),
) -> Reply:
    """Return the list of a person's LoraCodes, newest first, then those shared with them.

    The newest have a button each.
    """
    if not loras and not shared_loras:
        return Reply(translate("no-code-yet", how=translate(f"how-to-send-{platform}")))
    lines = [_format_lora(lora, now) for lora in loras[:MAX_CODES_LISTED]]
    if len(loras) > MAX_CODES_LISTED:
        lines.append(translate("codes-older", more=str(len(loras) - MAX_CODES_LISTED)))
    if shared_loras:
        lines.append(translate("codes-shared"))
        for lora, permission in shared_loras[:MAX_SHARED_LISTED]:
            permission_text, state_text = translate(f"allowed-{permission}"), translate(f"state-{lora.state}")
            lines.append(f"{format_code(lora.code)} · {permission_text} · {state_text}")
        if len(shared_loras) > MAX_SHARED_LISTED:
            lines.append(translate("codes-more", more=str(len(shared_loras) - MAX_SHARED_LISTED)))
    all_loras = [*loras, *(lora for lora, _ in shared_loras)]
    ready_lora = next((lora for lora in all_loras if lora.state is LoraState.READY), None)
    if ready_lora is not None:
        lines.append(
            translate("codes-try", example=example_command(platform, ready_lora.code, ready_lora.trigger))
        )
    shared_codes = [lora.code for lora, _ in shared_loras if lora.state is LoraState.READY]
    return Reply("\n".join(lines), tuple(_list_buttons(loras, shared_codes)))


def _format_lora(lora: Lora, now: datetime) -> str:
    parts = (
        format_code(lora.code),
        lora.name,
        translate(f"state-{lora.state}"),
        format_age(now - lora.created_at),
    )
    return " · ".join(filter(None, parts))


def _list_buttons(loras: Sequence[Lora], shared_codes: Sequence[LoraCode]) -> Iterator[Button]:
    for number, lora in enumerate(loras[:MAX_CODE_BUTTONS]):
        yield Button(lora.name or format_code(lora.code), f"code:{lora.code}", number // _CODES_PER_ROW)
    for number, code in enumerate(shared_codes[:MAX_SHARED_BUTTONS]):
        row = MAX_CODE_BUTTONS + number // _CODES_PER_ROW
        yield Button(translate("codes-draw-with", code=format_code(code)), f"use:{code}", row)


def lora_card(lora: Lora, now: datetime, size_bytes: int | None) -> Reply:
    """Return the card of one LoraCode with its actions."""
    code = lora.code
    lines = [f"{format_code(code)} · {lora.name}" if lora.name else format_code(code)]
    details = [
        translate(f"state-{lora.state}"),
        format_age(now - lora.created_at),
        translate("code-trigger", trigger=str(lora.trigger)),
    ]
    if size_bytes is not None:
        details.append(f"{size_bytes / 2**20:.1f} MB")
    lines.append(" · ".join(details))
    if likeness_text := format_likeness(lora.likeness):
        lines.append(likeness_text.capitalize())
    ready_buttons = (
        Button(translate("generate"), f"use:{code}", 0),
        Button(translate("export-button"), f"export:{code}", 0),
        Button(translate("share-button"), f"share:{code}", 0),
    )
    likeness_button = Button(translate("likeness-button"), f"likeness:{code}", 1)
    return Reply(
        "\n".join(lines),
        (
            *(ready_buttons if lora.state is LoraState.READY else ()),
            *((likeness_button,) if likeness_text else ()),
            *(
                (Button(translate("more-button"), f"more:{code}", 1),)
                if lora.state is LoraState.READY
                else ()
            ),
            Button(translate("rename-button"), f"rename:{code}", 1),
            Button(translate("delete-button"), f"remove:{code}", 1),
            Button(translate("all-my-codes"), "codes:all", 2),
        ),
    )


def likeness_card(lora: Lora, strip: Sequence[Path]) -> Reply:
    """Return the likeness of a LoraCode and the pictures of its training."""
    summary = likeness_summary(lora.likeness) or translate("likeness-unknown")
    return Reply(f"{format_code(lora.code)}: {summary}", pictures=tuple(strip))


def ask_new_name(lora: Lora, address: ChatAddress) -> Reply:
    """Return the question for the new name of a LoRA."""
    key = "ask-new-name-discord" if PLATFORM_TRAITS[address.platform].has_forms else "ask-new-name"
    key = "ask-new-name-in-group" if address.hears_replies_only else key
    return Reply(
        translate(key, code=format_code(lora.code)),
        (Button(translate("draft-drop"), f"question:drop:{lora.account}"),),
        asks_for_words=True,
    )


def ask_to_remove(lora: Lora) -> Reply:
    """Return the question before a LoRA is deleted."""
    return Reply(
        translate("ask-to-remove", code=format_code(lora.code)),
        (
            Button(translate("delete-for-good"), f"remove!:{lora.code}", 0),
            Button(translate("keep-it"), f"code:{lora.code}", 0),
        ),
        edits_message=True,
        yes_action=f"remove!:{lora.code}",
    )


def not_usable(lora: Lora) -> str:
    """Return why a LoraCode cannot draw."""
    key = "not-usable-cancelled" if lora.state is LoraState.CANCELLED else "not-usable-failed"
    return translate(key, code=format_code(lora.code))
