"""The one guarded place where a person's picture is decoded: in a child process, with limits, once."""

from bot.media.decoding._decode import (
    BROKEN_SENTENCE,
    MAX_FILE_BYTES,
    MAX_PIXELS,
    NOT_A_PICTURE_SENTENCE,
    OTHER_FORMAT_SENTENCE,
    SENTENCES,
    TIMEOUT_SENTENCE,
    TOO_MANY_BYTES_SENTENCE,
    TOO_MANY_PIXELS_SENTENCE,
    TOO_SMALL_SENTENCE,
    decode_photo,
)
from bot.media.decoding._decoder import MEMORY_BYTES, SandboxedPhotoDecoder

__all__ = [
    "BROKEN_SENTENCE",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "MEMORY_BYTES",
    "NOT_A_PICTURE_SENTENCE",
    "OTHER_FORMAT_SENTENCE",
    "SENTENCES",
    "TIMEOUT_SENTENCE",
    "TOO_MANY_BYTES_SENTENCE",
    "TOO_MANY_PIXELS_SENTENCE",
    "TOO_SMALL_SENTENCE",
    "SandboxedPhotoDecoder",
    "decode_photo",
]
