"""What is said where a picture is not taken, or not shown."""

from __future__ import annotations

from dataclasses import replace

from bot.replies import Reply
from bot.texts._language import say

#: Buttons that are about one of the pictures.
_OF_PICTURES = ("vary:", "large:")


def withheld(reply: Reply, is_unseen: bool = False) -> Reply:
    """Take the pictures out of a reply, and say so; a card of a job under way says nothing of its preview."""
    return _without_pictures(reply, say("withheld-unseen") if is_unseen else say("withheld"))


def not_allowed_here(reply: Reply) -> Reply:
    """Take the pictures out of a reply for a chat whose rules let us send none, and say so; likewise."""
    return _without_pictures(reply, say("no-pictures-here"))


def _without_pictures(reply: Reply, why: str) -> Reply:
    if reply.card_of is not None:
        return replace(reply, pictures=())
    buttons = tuple(each for each in reply.buttons if not each.action.startswith(_OF_PICTURES))
    return replace(reply, text=f"{reply.text}\n{why}", pictures=(), buttons=buttons)
