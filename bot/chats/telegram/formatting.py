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

from bot.core.messages import Button, PictureSource
from bot.texts import translate

MAX_TEXT_CHARS = int(MessageLimit.MAX_TEXT_LENGTH)
MAX_CAPTION_CHARS = int(MessageLimit.CAPTION_LENGTH)
_BLANK_SIZE_PX, _BLANK_COLOUR = (512, 96), "#808080"


@dataclass(frozen=True, slots=True)
class TelegramPhoto:
    """A picture as Telegram takes photos, and what is to be said of it."""

    data: bytes
    note: str = ""

    def build_caption(self, text: str) -> str:
        """Return a text with the remark below it, as long as a caption may be."""
        if not self.note:
            return clip_text(text, MAX_CAPTION_CHARS)
        max_chars = MAX_CAPTION_CHARS - utf16_length(self.note) - 1
        return f"{clip_text(text, max_chars)}\n{self.note}" if text else self.note


def utf16_length(text: str) -> int:
    """Count a text as Telegram does: an emoji is two or more."""
    return len(text.encode("utf-16-le")) // 2


def clip_text(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Cut a text to what fits."""
    if utf16_length(text) <= max_chars:
        return text
    clipped_bytes = text.encode("utf-16-le")[: 2 * (max_chars - 1)]
    return clipped_bytes.decode("utf-16-le", errors="ignore") + "…"


def build_keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    """Lay buttons out; None when there are none."""
    return InlineKeyboardMarkup(list(_layout_rows(buttons))) if buttons else None


async def load_photo(picture: PictureSource) -> TelegramPhoto:
    """Read a picture; over 10 MB it goes as JPEG. FileNotFoundError when it is gone."""
    return await asyncio.to_thread(_encode_photo, picture)


def blank_photo() -> TelegramPhoto:
    """Return the picture that takes the place of one which is to be seen no more."""
    buffer = io.BytesIO()
    Image.new("RGB", _BLANK_SIZE_PX, _BLANK_COLOUR).save(buffer, "JPEG")
    return TelegramPhoto(buffer.getvalue())


def _layout_rows(buttons: Sequence[Button]) -> Iterator[list[InlineKeyboardButton]]:
    for row, group in groupby(buttons, key=lambda button: button.row):
        row_buttons = [InlineKeyboardButton(each.label, callback_data=each.action) for each in group]
        yield from ([key] for key in row_buttons) if row is None else (row_buttons,)


def _encode_photo(source: PictureSource) -> TelegramPhoto:
    data = source if isinstance(source, bytes) else source.read_bytes()
    if len(data) <= FileSizeLimit.PHOTOSIZE_UPLOAD:
        return TelegramPhoto(data)
    with Image.open(io.BytesIO(data)) as picture:
        rgb = picture.convert("RGB")
    for quality in (95, 85, 70):
        buffer = io.BytesIO()
        rgb.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= FileSizeLimit.PHOTOSIZE_UPLOAD:
            break
    return TelegramPhoto(buffer.getvalue(), translate("smaller-copy"))
