"""The one guarded place where a person's picture is decoded: in a child process, with limits, once."""

from bot.media.decoding._decode import (
    BROKEN,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    NOT_A_PICTURE,
    OTHER_FORMAT,
    SENTENCES,
    TOO_MANY_BYTES,
    TOO_MANY_PIXELS,
    TOO_SMALL,
    TOOK_TOO_LONG,
    decode,
)
from bot.media.decoding._decoder import MEMORY_BYTES, PhotoGate

__all__ = [
    "BROKEN",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MEMORY_BYTES",
    "NOT_A_PICTURE",
    "OTHER_FORMAT",
    "SENTENCES",
    "TOOK_TOO_LONG",
    "TOO_MANY_BYTES",
    "TOO_MANY_PIXELS",
    "TOO_SMALL",
    "PhotoGate",
    "decode",
]
