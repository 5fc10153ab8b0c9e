"""Photos as they come from Discord."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import discord

from bot.chats.discord.sender import NETWORK_ERRORS
from bot.core.errors import UserError
from bot.core.messages import Upload
from bot.core.photos import MAX_PHOTO_BYTES
from bot.texts import translate

log = logging.getLogger(__name__)

#: What is no picture, and what is said of it.
_REFUSAL_KEYS = {"audio": "cannot-hear", "video": "cannot-watch"}


def message_attachments(message: discord.Message) -> list[discord.Attachment]:
    """Return the files of a message; one that was forwarded has them in the message that stands in it."""
    forwarded = [each for snapshot in message.message_snapshots for each in snapshot.attachments]
    return [*message.attachments, *forwarded]


async def fetch_uploads(photos: Sequence[discord.Attachment]) -> list[Upload | UserError]:
    """Fetch photos, soon, as their addresses expire; UserError asks for one that is not handed over."""
    return [await _fetch_upload(photo) for photo in photos]


async def _fetch_upload(photo: discord.Attachment) -> Upload | UserError:
    kind = (photo.content_type or "").partition("/")[0]
    if kind in _REFUSAL_KEYS:
        return UserError(translate(_REFUSAL_KEYS[kind]))
    if photo.size > MAX_PHOTO_BYTES:
        return Upload(photo.filename, None)
    try:
        return Upload(photo.filename, await photo.read())
    except (discord.HTTPException, *NETWORK_ERRORS) as error:
        log.warning("a photo could not be fetched from Discord: %s", type(error).__name__)
        raise UserError(translate("photos-not-fetched", name=photo.filename)) from error
