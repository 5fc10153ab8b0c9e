"""Cut parts out of pictures."""

from __future__ import annotations

import io
from typing import Protocol

from PIL import Image


class Part(Protocol):
    """A part of a picture, in shares of its width and height."""

    @property
    def left(self) -> float:
        """Where it begins from the left."""

    @property
    def top(self) -> float:
        """Where it begins from above."""

    @property
    def width(self) -> float:
        """How wide it is."""

    @property
    def height(self) -> float:
        """How high it is."""


def crop_picture(picture: bytes, part: Part) -> bytes:
    """Return a part of a picture file as PNG."""
    with Image.open(io.BytesIO(picture)) as image:
        left, top = round(part.left * image.width), round(part.top * image.height)
        right, bottom = left + round(part.width * image.width), top + round(part.height * image.height)
        buffer = io.BytesIO()
        image.crop((left, top, right, bottom)).save(buffer, "PNG")
    return buffer.getvalue()
