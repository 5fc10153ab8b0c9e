"""Why photos of a message were not added."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.errors import UserError
from bot.core.photos import MAX_PHOTOS_IN_SET, NewPhoto
from bot.db import AddPhotosResult
from bot.texts import translate
from bot.texts.photo_sets import photo_line


def describe_refusals(
    decoded: Sequence[NewPhoto | UserError], result: AddPhotosResult, *, is_replay: bool
) -> list[str]:
    """Return why each photo that was not added was refused, by its number in the album."""
    lines = []
    accepted = iter(result.accepted)
    is_full = result.photo_count >= MAX_PHOTOS_IN_SET
    for number, photo in enumerate(decoded, 1):
        if isinstance(photo, UserError):
            lines.append(photo_line(number, len(decoded), photo.message))
        elif not next(accepted) and (is_full or not is_replay):  # the first run added what is there
            sentence = translate("same-photo-or-no-room") if is_full else translate("same-photo")
            lines.append(photo_line(number, len(decoded), sentence))
    return lines
