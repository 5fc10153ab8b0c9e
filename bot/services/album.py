"""What is said of each photo of an album."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot import texts
from bot.core.errors import UserError
from bot.core.messages import Reply, current_request
from bot.core.photos import MAX_PHOTOS_IN_SET, NewPhoto
from bot.db import AddPhotosResult


def describe_refusals(decoded: Sequence[NewPhoto | UserError], result: AddPhotosResult) -> list[str]:
    """Say of each photo that was not taken why, by its number in the album."""
    lines = []
    accepted = iter(result.accepted)
    # What was there already was put there before the bot died, and is told of now.
    is_first_attempt = not current_request().is_replay
    is_full = result.photo_count >= MAX_PHOTOS_IN_SET
    for number, photo in enumerate(decoded, 1):
        if isinstance(photo, UserError):
            lines.append(texts.photo_line(number, len(decoded), photo.message))
        elif not next(accepted) and (is_full or is_first_attempt):
            sentence = texts.SAME_PHOTO_OR_NO_ROOM if is_full else texts.SAME_PHOTO
            lines.append(texts.photo_line(number, len(decoded), sentence))
    return lines


def prepend_lines(lines: Sequence[str], reply: Reply) -> Reply:
    """Put lines before a reply."""
    return replace(reply, text="\n".join([*lines, reply.text]))
