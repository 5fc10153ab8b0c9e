"""Texts about drawing with somebody else's LoraCode: requests, permissions, links, reports."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.loras import Lora, LoraCode, Permission, Share, format_code
from bot.core.messages import Button, Reply
from bot.texts.language import translate
from bot.texts.words import format_duration, generate_command, truncate

SHARES_A_PAGE = 8
_SHARES_PER_ROW = 2


def share_card(share: Share) -> Reply:
    """Return the card that shows an owner one person's request or permission, with what can be decided."""
    requester, code = _format_requester(share), format_code(share.code)
    args = {"who": requester, "code": code}
    once_button, always_button, no_button = (
        Button(translate(f"share-{decision}"), f"share:{share.number}:{decision}", 0)
        for decision in ("once", "always", "no")
    )
    revoke_button = Button(translate("share-back"), f"share:{share.number}:revoke", 0)
    all_shares_button = Button(translate("share-everybody", code=code), f"share:{share.code}", 1)
    match share.permission:
        case Permission.REQUESTED:
            return Reply(translate("share-asked", **args), (once_button, always_button, no_button))
        case Permission.ONCE:
            return Reply(
                translate("share-may-once", **args), (always_button, revoke_button, all_shares_button)
            )
        case Permission.ALWAYS:
            return Reply(translate("share-may-always", **args), (revoke_button, all_shares_button))
        case Permission.DENIED:
            return Reply(translate("share-may-not", **args), (once_button, always_button, all_shares_button))


def share_revoked(share: Share) -> Reply:
    """Return the reply that confirms that a permission is taken back."""
    text = translate("share-revoked", who=_format_requester(share), code=format_code(share.code))
    return Reply(text, (Button(translate("back"), f"share:{share.code}"),), edits_message=True)


def access_granted(share: Share) -> str:
    """Return the message that tells a person that they may draw."""
    key = "you-may-draw-once" if share.permission is Permission.ONCE else "you-may-draw-always"
    return translate(
        key, code=format_code(share.code), how=generate_command(share.address.platform, share.code)
    )


def share_list(lora: Lora, shares: Sequence[Share], page: int, link_left_s: float | None) -> Reply:
    """Return a page of who may draw with a LoRA, and whether a link is open."""
    code = lora.code
    lines = [translate("sharing-some" if shares else "sharing-nobody", code=format_code(code))]
    first_index = page * SHARES_A_PAGE
    page_shares = shares[first_index : first_index + SHARES_A_PAGE]
    lines += [
        f"{_format_requester(share)}: {translate(f'allowed-{share.permission}')}" for share in page_shares
    ]
    lines.append(translate("sharing-how", code=code))
    if link_left_s is not None:
        lines.append(translate("sharing-link-open", span=format_duration(link_left_s)))
    buttons = [
        Button(
            truncate(
                f"{share.requester_name or translate('nobody')}: {translate(f'allowed-{share.permission}')}",
                40,
            ),
            f"share:{share.number}:show",
            row,
        )
        for row, share in ((number // _SHARES_PER_ROW, share) for number, share in enumerate(page_shares))
    ]
    last_row = SHARES_A_PAGE
    if first_index + SHARES_A_PAGE < len(shares):
        buttons.append(Button(translate("sharing-more"), f"share:{code}:{page + 1}", last_row))
    link_label = translate("sharing-make-link" if link_left_s is None else "sharing-new-link")
    buttons.append(Button(link_label, f"invite:{code}", last_row))
    if link_left_s is not None:
        buttons.append(Button(translate("sharing-end-link"), f"uninvite:{code}", last_row))
    buttons.append(Button(translate("back"), f"code:{code}", last_row))
    return Reply("\n".join(lines), tuple(buttons), edits_message=True)


def share_link(code: LoraCode, token: str, address: str, days: int, max_people: int) -> Reply:
    """Return the reply with a link that lets others draw with a LoRA."""
    instructions = translate("share-link-word", word=token)
    if address:
        instructions = translate("share-link-address", address=address, word=token)
    return Reply(
        translate("share-link", code=format_code(code), days=days, people=max_people, how=instructions),
        (
            Button(translate("sharing-end-link"), f"uninvite:{code}", 0),
            Button(translate("sharing-who"), f"share:{code}", 0),
        ),
    )


def link_ended(code: LoraCode) -> Reply:
    """Return the reply that confirms that a link has ended."""
    return Reply(
        translate("link-ended", code=format_code(code)),
        (Button(translate("sharing-who"), f"share:{code}"),),
        edits_message=True,
    )


def _format_requester(share: Share) -> str:
    platform = share.address.platform.capitalize()
    if not share.requester_name:
        return translate("who-nameless", platform=platform)
    return translate("who-named", name=share.requester_name, platform=platform)
