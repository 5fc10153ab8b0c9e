"""What is said of each photo of an album."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot import texts
from bot.core.errors import UserError
from bot.core.messages import Reply, asking
from bot.core.photos import MAX_PHOTOS_HELD, NewPhoto
from bot.db import Added


def refusals(checked: Sequence[NewPhoto | UserError], added: Added) -> list[str]:
    """Say of each photo that was not taken why, by its number in the album."""
    lines = []
    taken = iter(added.accepted)
    # What was there already was put there before the bot died, and is told of now.
    is_news = not asking().is_again
    full = added.held >= MAX_PHOTOS_HELD
    for number, each in enumerate(checked, 1):
        if isinstance(each, UserError):
            lines.append(texts.photo_line(number, len(checked), each.sentence))
        elif not next(taken) and (full or is_news):
            sentence = texts.SAME_PHOTO_OR_NO_ROOM if full else texts.SAME_PHOTO
            lines.append(texts.photo_line(number, len(checked), sentence))
    return lines


def after(lines: Sequence[str], reply: Reply) -> Reply:
    """Put lines before a reply."""
    return replace(reply, text="\n".join([*lines, reply.text]))
