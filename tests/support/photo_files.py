"""Drawn photos as files, whole and broken, and what the gate makes of them."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, ImageDraw

from bot.core.photos import NewPhoto, PhotoRefusal, PhotoRefused
from bot.media.decoding import decode_photo

PNG_HEADER_BYTES = 33  # the magic and IHDR


def picture(width_px: int = 320, height_px: int = 400) -> Image.Image:
    """Blue, with a red upper left quarter: shows where up is."""
    image = Image.new("RGB", (width_px, height_px), (20, 40, 200))
    ImageDraw.Draw(image).rectangle((0, 0, width_px // 2, height_px // 2), fill=(220, 30, 30))
    return image


def as_file(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Encode a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def kept(photo: NewPhoto) -> Image.Image:
    """Return the picture that the gate kept."""
    image = Image.open(io.BytesIO(photo.data))
    image.load()
    return image


def near(colour: object, expected: object, tolerance: int = 11) -> bool:
    """Return whether two colours are alike."""
    assert isinstance(colour, tuple)
    assert isinstance(expected, tuple)
    return all(abs(one - other) <= tolerance for one, other in zip(colour, expected, strict=True))


def refusal(data: bytes) -> PhotoRefusal:
    """Return why the gate refuses a file."""
    with pytest.raises(PhotoRefused) as caught:
        decode_photo(data)
    return caught.value.reason


def png_chunk(kind: bytes, body: bytes, *, is_sound: bool = True) -> bytes:
    """Return a chunk of a PNG, with its right checksum or with none."""
    checksum = zlib.crc32(kind + body) ^ (0 if is_sound else 1)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(chunk: bytes, image: Image.Image | None = None) -> bytes:
    """Return a PNG with one chunk more before its data."""
    png = as_file(image or picture(), "PNG")
    return png[:PNG_HEADER_BYTES] + chunk + png[PNG_HEADER_BYTES:]
