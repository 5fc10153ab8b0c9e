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

from bot import texts
from bot.core.messages import Attachment, Picture, Reply

log = logging.getLogger(__name__)

MAX_TEXT_CHARS = 2000
MAX_FILE_BYTES = discord.utils.DEFAULT_FILE_SIZE_LIMIT_BYTES
#: Discord takes 25,000,000 bytes a request; the rest is for text and form fields.
MAX_REQUEST_BYTES = 24_000_000
MAX_FILES = 10
#: What is in no file of ours is a contact sheet.
SHEET_NAME = "photos.jpg"
#: Where JPEGs hold the settings that a PNG holds as `parameters`; web UIs read them there.
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a message."""

    name: str
    content: bytes | Path
    size_bytes: int
    smaller_copy: bool = False
    is_spoiler: bool = False

    def file(self) -> discord.File:
        """Open it; a File can be sent once, so a second address, or a retry, takes a new one."""
        content = self.content
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        return discord.File(source, self.name, spoiler=self.is_spoiler)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A reply's text and, for each message that it takes, the files of that message."""

    text: str
    loads: tuple[tuple[Part, ...], ...]

    def files(self, message: int = 0) -> list[discord.File]:
        """Open the files of one of the messages."""
        return [each.file() for each in self.loads[message]]


async def packed(reply: Reply) -> Parcel:
    """Read a reply's pictures and weigh its files; FileNotFoundError when a file is gone."""
    pictures, files = await asyncio.to_thread(_parts, reply)
    text = plain(reply.text)
    if any(each.smaller_copy for each in pictures):
        remark = texts.SMALLER_COPY_ON_DISCORD
        text = f"{clipped(text, MAX_TEXT_CHARS - 2 * len(remark))}\n{remark}"
    return Parcel(text, _loads([*pictures, *files]))


def plain(text: str) -> str:
    """Write a text so that Discord shows it as it is, without its markup."""
    return clipped(discord.utils.escape_markdown(text))


def clipped(text: str, room: int = MAX_TEXT_CHARS) -> str:
    """Cut a text to what fits into one message."""
    return text if len(text) <= room else text[: room - 1] + "…"


def _parts(reply: Reply) -> tuple[list[Part], list[Part]]:
    # Pictures stay together in one message, whose size is limited too.
    limit_bytes = min(MAX_FILE_BYTES, MAX_REQUEST_BYTES // max(1, len(reply.pictures)))
    pictures = [_picture(path, limit_bytes) for path in reply.pictures]
    shown = [replace(each, is_spoiler=reply.is_spoiler) for each in pictures if each is not None]
    return shown, [_attached(each) for each in reply.files]


def _attached(attachment: Attachment) -> Part:
    return Part(attachment.name, attachment.path, attachment.path.stat().st_size)


def _loads(parts: Sequence[Part]) -> tuple[tuple[Part, ...], ...]:
    loads: list[list[Part]] = [[]]
    for part in parts:
        held_bytes = sum(each.size_bytes for each in loads[-1])
        if loads[-1] and (len(loads[-1]) == MAX_FILES or held_bytes + part.size_bytes > MAX_REQUEST_BYTES):
            loads.append([])
        loads[-1].append(part)
    return tuple(tuple(load) for load in loads)


def _picture(path: Picture, limit_bytes: int) -> Part | None:
    if isinstance(path, bytes):
        return Part(SHEET_NAME, path, len(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # A preview ends with its job, maybe just now: the text is still true.
        log.warning("the picture %s was gone before it could be shown", path.name)
        return None
    if len(data) <= limit_bytes:
        return Part(path.name, data, len(data))
    data = _smaller(data, limit_bytes)
    return Part(f"{path.stem}.jpg", data, len(data), smaller_copy=True)


def _smaller(png: bytes, limit_bytes: int) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        picture.load()
        exif = Image.Exif()
        settings = picture.info.get("parameters")
        if isinstance(settings, str):
            exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + settings.encode("utf-16-be")
        rgb = picture.convert("RGB")
    for quality in (95, 85, 70):
        copy = io.BytesIO()
        rgb.save(copy, "JPEG", quality=quality, exif=exif)
        if copy.tell() <= limit_bytes:
            break
    return copy.getvalue()
