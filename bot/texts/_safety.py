"""What is said where a picture is not taken, or not shown."""

from __future__ import annotations

from dataclasses import replace

from bot.replies import Reply

PHOTO_SHOWS_NUDITY = (
    "This photo looks as if it showed nudity, so I did not take it. Please send one with clothes on. If I am "
    "wrong, another photo of the same scene may pass."
)
PHOTO_NOT_CHECKED = "I could not check this photo just now, so I did not take it. Please send it again later."
_WITHHELD = (
    "Not shown: the check of this bot took it for nudity, or could not look at it. Draw it again, dressed."
)
#: Buttons that are about one of the pictures.
_OF_PICTURES = ("vary:", "large:")


def withheld(reply: Reply) -> Reply:
    """Take the pictures out of a reply, and say so; a card of a job under way says nothing of its preview."""
    if reply.card_of is not None:
        return replace(reply, pictures=())
    buttons = tuple(each for each in reply.buttons if not each.action.startswith(_OF_PICTURES))
    return replace(reply, text=f"{reply.text}\n{_WITHHELD}", pictures=(), buttons=buttons)
