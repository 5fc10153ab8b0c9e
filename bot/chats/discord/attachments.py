"""What a reply weighs: its text, pictures and files as messages that Discord takes."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import discord
from PIL import Image

from bot.core.messages import Attachment, PictureSource, Reply
from bot.texts import translate

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 2000
MAX_FILE_BYTES = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
#: Discord takes 25,000,000 bytes a request; the rest is for text and form fields.
MAX_REQUEST_BYTES = 24_000_000
MAX_FILES = 10
#: What is in no file of ours is a contact sheet.
CONTACT_SHEET_NAME = "photos.jpg"
#: Where JPEGs hold the settings that a PNG holds as `parameters`; web UIs read them there.
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286


@dataclass(frozen=True, slots=True)
class MessagePart:
    """One file of a message."""

    name: str
    content: bytes | Path
    size_bytes: int
    is_reduced: bool = False
    is_spoiler: bool = False

    def open_file(self) -> discord.File:
        """Open it; a File can be sent once, so a second address, or a retry, takes a new one."""
        content = self.content
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        return discord.File(source, self.name, spoiler=self.is_spoiler)


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """A reply's text and, for each message that it takes, the files of that message."""

    text: str
    messages: tuple[tuple[MessagePart, ...], ...]

    def open_files(self, message_index: int = 0) -> list[discord.File]:
        """Open the files of one of the messages."""
        return [each.open_file() for each in self.messages[message_index]]


async def pack_reply(reply: Reply) -> MessageBatch:
    """Read a reply's pictures and weigh its files; FileNotFoundError when a file is gone."""
    pictures, files = await asyncio.to_thread(_collect_parts, reply)
    text = escape_text(reply.text)
    if any(each.is_reduced for each in pictures):
        note = translate("smaller-copy-on-discord")
        text = f"{clip_text(text, MAX_TEXT_CHARS - 2 * len(note))}\n{note}"
    return MessageBatch(text, _split_messages([*pictures, *files]))


def escape_text(text: str) -> str:
    """Write a text so that Discord shows it as it is, without its markup."""
    return clip_text(discord.utils.escape_markdown(text))


def clip_text(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Cut a text to what fits into one message."""
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def _collect_parts(reply: Reply) -> tuple[list[MessagePart], list[MessagePart]]:
    # Pictures stay together in one message, whose size is limited too.
    limit_bytes = min(MAX_FILE_BYTES, MAX_REQUEST_BYTES // max(1, len(reply.pictures)))
    pictures = [_picture_part(path, limit_bytes) for path in reply.pictures]
    picture_parts = [replace(each, is_spoiler=reply.is_spoiler) for each in pictures if each is not None]
    return picture_parts, [_attachment_part(each) for each in reply.files]


def _attachment_part(attachment: Attachment) -> MessagePart:
    return MessagePart(attachment.name, attachment.path, attachment.path.stat().st_size)


def _split_messages(parts: Sequence[MessagePart]) -> tuple[tuple[MessagePart, ...], ...]:
    messages: list[list[MessagePart]] = [[]]
    for part in parts:
        used_bytes = sum(each.size_bytes for each in messages[-1])
        if messages[-1] and (
            len(messages[-1]) == MAX_FILES or used_bytes + part.size_bytes > MAX_REQUEST_BYTES
        ):
            messages.append([])
        messages[-1].append(part)
    return tuple(tuple(load) for load in messages)


def _picture_part(path: PictureSource, limit_bytes: int) -> MessagePart | None:
    if isinstance(path, bytes):
        return MessagePart(CONTACT_SHEET_NAME, path, len(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # A preview ends with its job, maybe just now: the text is still true.
        log.warning("the picture %s was gone before it could be shown", path.name)
        return None
    if len(data) <= limit_bytes:
        return MessagePart(path.name, data, len(data))
    data = _compress_to_jpeg(data, limit_bytes)
    return MessagePart(f"{path.stem}.jpg", data, len(data), is_reduced=True)


def _compress_to_jpeg(data: bytes, limit_bytes: int) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        exif = Image.Exif()
        parameters = picture.info.get("parameters")
        if isinstance(parameters, str):
            exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + parameters.encode("utf-16-be")
        rgb = picture.convert("RGB")
    for quality in (95, 85, 70):
        buffer = io.BytesIO()
        rgb.save(buffer, "JPEG", quality=quality, exif=exif)
        if buffer.tell() <= limit_bytes:
            break
    return buffer.getvalue()
