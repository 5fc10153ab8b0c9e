"""What a reply looks like on Telegram: texts that fit, buttons in rows, pictures as photos."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image
from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.constants import FileSizeLimit, MessageLimit

from bot import texts
from bot.core.messages import Button, Picture

MAX_TEXT = int(MessageLimit.MAX_TEXT_LENGTH)
MAX_CAPTION = int(MessageLimit.CAPTION_LENGTH)
_BLANK_SIZE_PX, _BLANK_COLOUR = (512, 96), "#808080"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture as Telegram takes photos, and what is to be said of it."""

    data: bytes
    remark: str = ""

    def caption(self, text: str) -> str:
        """Give a text with the remark below it, as long as a caption may be."""
        if not self.remark:
            return clipped(text, MAX_CAPTION)
        room = MAX_CAPTION - length(self.remark) - 1
        return f"{clipped(text, room)}\n{self.remark}" if text else self.remark


def length(text: str) -> int:
    """Count a text as Telegram does: an emoji is two or more."""
    return len(text.encode("utf-16-le")) // 2


def clipped(text: str, room: int = MAX_TEXT) -> str:
    """Cut a text to what fits."""
    if length(text) <= room:
        return text
    cut = text.encode("utf-16-le")[: 2 * (room - 1)]
    return cut.decode("utf-16-le", errors="ignore") + "…"


def keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    """Lay buttons out; None when there are none."""
    return InlineKeyboardMarkup(list(_rows(buttons))) if buttons else None


async def photo(picture: Picture) -> Photo:
    """Read a picture; over 10 MB it goes as JPEG. FileNotFoundError when it is gone."""
    return await asyncio.to_thread(_photo, picture)


def blank() -> Photo:
    """Give the picture that takes the place of one which is to be seen no more."""
    file = io.BytesIO()
    Image.new("RGB", _BLANK_SIZE_PX, _BLANK_COLOUR).save(file, "JPEG")
    return Photo(file.getvalue())


def _rows(buttons: Sequence[Button]) -> Iterator[list[InlineKeyboardButton]]:
    for row, group in groupby(buttons, key=lambda button: button.row):
        keys = [InlineKeyboardButton(each.label, callback_data=each.action) for each in group]
        yield from ([key] for key in keys) if row is None else (keys,)


def _photo(source: Picture) -> Photo:
    data = source if isinstance(source, bytes) else source.read_bytes()
    if len(data) <= FileSizeLimit.PHOTOSIZE_UPLOAD:
        return Photo(data)
    with Image.open(io.BytesIO(data)) as picture:
        rgb = picture.convert("RGB")
    for quality in (95, 85, 70):
        copy = io.BytesIO()
        rgb.save(copy, "JPEG", quality=quality)
        if copy.tell() <= FileSizeLimit.PHOTOSIZE_UPLOAD:
            break
    return Photo(copy.getvalue(), texts.SMALLER_COPY)
