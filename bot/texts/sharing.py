"""Drawing with a LoraCode that is somebody else's: asking, deciding, links, taking it back; reports."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.accounts import Platform
from bot.core.loras import Allowed, Lora, LoraCode, Share, format_code
from bot.core.messages import Button, Reply
from bot.texts.language import say
from bot.texts.words import allowed_name, quoted, span, to_draw

SHARES_A_PAGE = 8
_SHARES_A_ROW = 2


def asked_for(code: LoraCode) -> Reply:
    """Say what is said of every code that is not one's own, be it somebody's or nobody's."""
    return Reply(say("asked-for", code=format_code(code)))


def usable_already(code: LoraCode, platform: Platform) -> Reply:
    """Say that nobody need be asked."""
    return Reply(say("usable-already", code=format_code(code), how=to_draw(platform, code)))


def share_card(share: Share) -> Reply:
    """Show the owner of a Lora what somebody wants or may, and what can be decided."""
    who, code = _who(share), format_code(share.code)
    told = {"who": who, "code": code}
    once, always, no = (
        Button(say(f"share-{what}"), f"share:{share.number}:{what}", 0) for what in ("once", "always", "no")
    )
    back = Button(say("share-back"), f"share:{share.number}:revoke", 0)
    everybody = Button(say("share-everybody", code=code), f"share:{share.code}", 1)
    match share.allowed:
        case Allowed.ASKED:
            return Reply(say("share-asked", **told), (once, always, no))
        case Allowed.ONCE:
            return Reply(say("share-may-once", **told), (always, back, everybody))
        case Allowed.ALWAYS:
            return Reply(say("share-may-always", **told), (back, everybody))
        case Allowed.NO:
            return Reply(say("share-may-not", **told), (once, always, everybody))


def share_revoked(share: Share) -> Reply:
    """Confirm that somebody can draw with a Lora no more."""
    text = say("share-revoked", who=_who(share), code=format_code(share.code))
    return Reply(text, (Button(say("back"), f"share:{share.code}"),), replaces=True)


def you_may_draw(share: Share) -> str:
    """Tell whoever asked that they may."""
    key = "you-may-draw-once" if share.allowed is Allowed.ONCE else "you-may-draw-always"
    return say(key, code=format_code(share.code), how=to_draw(share.place.platform, share.code))


def sharing(lora: Lora, shares: Sequence[Share], page: int, link_left_s: float | None) -> Reply:
    """Show who may draw with a Lora, a page at a time, and whether a link is open."""
    code = lora.code
    lines = [say("sharing-some" if shares else "sharing-nobody", code=format_code(code))]
    first = page * SHARES_A_PAGE
    shown = shares[first : first + SHARES_A_PAGE]
    lines += [f"{_who(each)}: {allowed_name(each.allowed)}" for each in shown]
    lines.append(say("sharing-how", code=code))
    if link_left_s is not None:
        lines.append(say("sharing-link-open", span=span(link_left_s)))
    buttons = [
        Button(
            quoted(f"{each.asker or say('nobody')}: {allowed_name(each.allowed)}", 40),
            f"share:{each.number}:show",
            row,
        )
        for row, each in ((number // _SHARES_A_ROW, each) for number, each in enumerate(shown))
    ]
    last = SHARES_A_PAGE
    if first + SHARES_A_PAGE < len(shares):
        buttons.append(Button(say("sharing-more"), f"share:{code}:{page + 1}", last))
    make = say("sharing-make-link" if link_left_s is None else "sharing-new-link")
    buttons.append(Button(make, f"invite:{code}", last))
    if link_left_s is not None:
        buttons.append(Button(say("sharing-end-link"), f"uninvite:{code}", last))
    buttons.append(Button(say("back"), f"code:{code}", last))
    return Reply("\n".join(lines), tuple(buttons), replaces=True)


def share_link(code: LoraCode, word: str, address: str, days: int, people: int) -> Reply:
    """Hand out what lets others draw with a Lora."""
    how = say("share-link-word", word=word)
    if address:
        how = say("share-link-address", address=address, word=word)
    return Reply(
        say("share-link", code=format_code(code), days=days, people=people, how=how),
        (
            Button(say("sharing-end-link"), f"uninvite:{code}", 0),
            Button(say("sharing-who"), f"share:{code}", 0),
        ),
    )


def link_ended(code: LoraCode) -> Reply:
    """Confirm that a link lets nobody in any more."""
    return Reply(
        say("link-ended", code=format_code(code)),
        (Button(say("sharing-who"), f"share:{code}"),),
        replaces=True,
    )


def reported(code: LoraCode) -> Reply:
    """Thank for a report; the same words whether the code is anybody's."""
    return Reply(say("reported", code=format_code(code)))


def _who(share: Share) -> str:
    platform = share.place.platform.capitalize()
    if not share.asker:
        return say("who-nameless", platform=platform)
    return say("who-named", name=share.asker, platform=platform)
