"""Drawing with a LoraCode that is somebody else's: asking, deciding, links, taking it back; reports."""

from __future__ import annotations

from collections.abc import Sequence

from bot.domain import Allowed, Lora, LoraCode, Platform, Share, format_code
from bot.replies import Button, Reply
from bot.texts._words import quoted, span, to_draw

SHARES_A_PAGE = 8
_SHARES_A_ROW = 2

ASK_WHAT = "Write the code of somebody else's after it, as in: /ask 4071 3386"
ASKED_TOO_OFTEN = "You have asked for as many LoraCodes as I pass on in a day. Please ask again tomorrow."
SHARE_IN_PRIVATE = "That is between us: open a private chat with me and press it there."
SHARE_WORD_UNKNOWN = (
    "That invitation is over, or I never gave it. Ask for a new one, or write /ask and the LoraCode."
)
SHARE_WORD_TOO_OFTEN = "Those were too many wrong words. Please wait ten minutes."
REPORT_WHAT = (
    "Write the code, and in a few words what is wrong with it: /report 4071 3386 these are my photos"
)
REPORTED_TOO_OFTEN = (
    "You have reported as much as I take in a day. If it cannot wait, write to who runs this bot."
)

_STANDS = {
    Allowed.ASKED: "asked",
    Allowed.ONCE: "once",
    Allowed.ALWAYS: "always",
    Allowed.NO: "no",
}


def asked_for(code: LoraCode) -> Reply:
    """Say what is said of every code that is not one's own, be it somebody's or nobody's."""
    return Reply(
        f"If there is a LoraCode {format_code(code)}, I have asked its owner. "
        "You hear from me when they allow it."
    )


def usable_already(code: LoraCode, platform: Platform) -> Reply:
    """Say that nobody need be asked."""
    return Reply(f"You can draw with {format_code(code)}: {to_draw(platform, code)}")


def share_card(share: Share) -> Reply:
    """Show the owner of a Lora what somebody wants or may, and what can be decided."""
    who, code = _who(share), format_code(share.code)
    once, always, no = (
        Button(label, f"share:{share.number}:{what}", 0)
        for label, what in (("Once", "once"), ("Always", "always"), ("No", "no"))
    )
    back = Button("Take it back", f"share:{share.number}:revoke", 0)
    everybody = Button(f"Everybody with {code}", f"share:{share.code}", 1)
    match share.allowed:
        case Allowed.ASKED:
            return Reply(
                f"{who} wants to draw with your {code}. They could not export, rename or delete it, and "
                "what they draw is theirs. May they?",
                (once, always, no),
            )
        case Allowed.ONCE:
            return Reply(f"{who} may draw with your {code} once.", (always, back, everybody))
        case Allowed.ALWAYS:
            return Reply(f"{who} may draw with your {code} until you take it back.", (back, everybody))
        case Allowed.NO:
            text = (
                f"{who} may not draw with your {code}. I tell you no more of their asking, and them nothing."
            )
            return Reply(text, (once, always, everybody))


def share_revoked(share: Share) -> Reply:
    """Confirm that somebody can draw with a Lora no more."""
    text = (
        f"{_who(share)} can no longer draw with your {format_code(share.code)}. What they drew stays theirs."
    )
    return Reply(text, (Button("Back", f"share:{share.code}"),), replaces=True)


def you_may_draw(share: Share) -> str:
    """Tell whoever asked that they may."""
    how = "once" if share.allowed is Allowed.ONCE else "as often as you like"
    return (
        f"You may draw with {format_code(share.code)} now, {how}: {to_draw(share.place.platform, share.code)}"
    )


def sharing(lora: Lora, shares: Sequence[Share], page: int, link_left_s: float | None) -> Reply:
    """Show who may draw with a Lora, a page at a time, and whether a link is open."""
    code = lora.code
    lines = [
        f"{format_code(code)}: you alone draw with it." if not shares else f"{format_code(code)}, shared:"
    ]
    first = page * SHARES_A_PAGE
    shown = shares[first : first + SHARES_A_PAGE]
    lines += [f"{_who(each)}: {_STANDS[each.allowed]}" for each in shown]
    lines.append(f"Whoever knows the number can ask you: /ask {code}. Or send them a link.")
    if link_left_s is not None:
        lines.append(f"A link is open for another {span(link_left_s)}.")
    buttons = [
        Button(
            quoted(f"{each.asker or 'Somebody'}: {_STANDS[each.allowed]}", 40),
            f"share:{each.number}:show",
            row,
        )
        for row, each in ((number // _SHARES_A_ROW, each) for number, each in enumerate(shown))
    ]
    last = SHARES_A_PAGE
    if first + SHARES_A_PAGE < len(shares):
        buttons.append(Button("More", f"share:{code}:{page + 1}", last))
    buttons.append(Button("Make a link" if link_left_s is None else "New link", f"invite:{code}", last))
    if link_left_s is not None:
        buttons.append(Button("End the link", f"uninvite:{code}", last))
    buttons.append(Button("Back", f"code:{code}", last))
    return Reply("\n".join(lines), tuple(buttons), replaces=True)


def share_link(code: LoraCode, word: str, address: str, days: int, people: int) -> Reply:
    """Hand out what lets others draw with a Lora."""
    how = (
        f"{address}\nOn Discord they write me this word: {word}"
        if address
        else f"They write me this word: {word}"
    )
    return Reply(
        f"Whoever has this may draw with {format_code(code)}, for {days} days and {people} people at most. "
        f"I tell you of each, and you can take it back.\n{how}",
        (Button("End the link", f"uninvite:{code}", 0), Button("Who has it", f"share:{code}", 0)),
    )


def link_ended(code: LoraCode) -> Reply:
    """Confirm that a link lets nobody in any more."""
    return Reply(
        f"The link of {format_code(code)} is over. Whoever came by it stays, until you take it back.",
        (Button("Who has it", f"share:{code}"),),
        replaces=True,
    )


def reported(code: LoraCode) -> Reply:
    """Thank for a report; the same words whether the code is anybody's."""
    return Reply(f"Thank you. I have told the people who run this bot about {format_code(code)}.")


def _who(share: Share) -> str:
    platform = share.place.platform.capitalize()
    return f"{share.asker} ({platform})" if share.asker else f"Somebody on {platform}"
