"""What is said where a picture is not taken, or not shown."""

from __future__ import annotations

from dataclasses import replace

from bot.replies import Reply
from bot.texts._language import say

#: Buttons that are about one of the pictures.
_OF_PICTURES = ("vary:", "large:")


def withheld(reply: Reply, is_unseen: bool = False) -> Reply:
    """Take the pictures out of a reply, and say so; a card of a job under way says nothing of its preview."""
    if reply.card_of is not None:
        return replace(reply, pictures=())
    buttons = tuple(each for each in reply.buttons if not each.action.startswith(_OF_PICTURES))
    why = say("withheld-unseen") if is_unseen else say("withheld")
    return replace(reply, text=f"{reply.text}\n{why}", pictures=(), buttons=buttons)
