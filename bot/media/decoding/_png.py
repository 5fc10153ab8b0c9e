"""Take from a PNG what makes its picture, as browsers do: no words, no animation, no wrong checksum."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from bot.media.decoding._cicp import Cicp

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
#: libpng's limit in browsers: no real profile is larger.
MAX_PROFILE_BYTES = 8_000_000
#: A sound file has a few thousand. More would only take time.
MAX_CHUNKS = 50_000

_CRITICAL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT")
#: By the kind of colour: grey, RGB and palette. The others have no such chunk.
_TRANSPARENCY_BYTES = {b"\0": 2, b"\2": 6, b"\3": 1}
_COLOR_KIND_OFFSET, _INTERLACE_OFFSET = 25, 28


@dataclass(frozen=True, slots=True)
class PngPicture:
    """A PNG of the chunks that make its picture. `has_end` is False where it breaks off."""

    data: bytes
    cicp: Cicp | None
    has_end: bool
    is_interlaced: bool


def read_png(data: bytes) -> PngPicture:
    """Return what makes the picture of a PNG, without unpacking its words.

    Raise ValueError when it has too many chunks.
    """
    view, kept = memoryview(data), [memoryview(PNG_MAGIC)]
    min_bytes = _min_chunk_bytes(data)
    cicp, chunk_count, offset = None, 0, len(PNG_MAGIC)
    while kind := data[offset + 4 : offset + 8]:
        chunk_count += 1
        if chunk_count > MAX_CHUNKS:
            raise ValueError("too many chunks")
        start, end = offset + 8, offset + 8 + int.from_bytes(view[offset : offset + 4], "big")
        whole, body = view[offset : end + 4], view[start:end]
        if kind in _CRITICAL_CHUNKS:
            kept.append(whole)
            if kind == b"IDAT":
                min_bytes.clear()
        elif (
            kind in min_bytes
            and end - start >= min_bytes[kind]
            and _is_sound(kind, body, view[end : end + 4])
        ):
            del min_bytes[kind]  # of two, browsers take the first
            if kind == b"cICP":
                cicp = Cicp(body[0], body[1], bool(body[3]))
            else:
                kept.append(whole)
        elif kind == b"IEND":
            kept.append(whole)
            break
        offset = end + 4
    is_interlaced = data[_INTERLACE_OFFSET : _INTERLACE_OFFSET + 1] == b"\1"
    return PngPicture(b"".join(kept), cicp, kind == b"IEND", is_interlaced)


def _min_chunk_bytes(data: bytes) -> dict[bytes, int]:
    """Return how long each chunk is, at least, that may tell something of the picture."""
    sizes = {b"iCCP": 0, b"eXIf": 0, b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
    transparency_bytes = _TRANSPARENCY_BYTES.get(data[_COLOR_KIND_OFFSET : _COLOR_KIND_OFFSET + 1])
    return sizes if transparency_bytes is None else sizes | {b"tRNS": transparency_bytes}


def _is_sound(kind: bytes, body: memoryview, checksum: memoryview) -> bool:
    if zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
        return False
    if kind != b"iCCP":
        return True
    name, _, packed = bytes(body).partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return False
    return bool(name) and not unpacker.unconsumed_tail
