"""The one guarded place where a person's picture is decoded: in a child process, with limits, once."""

from bot.media.decoding._decode import decode_photo
from bot.media.decoding._decoder import MEMORY_BYTES, SandboxedPhotoDecoder

__all__ = ["MEMORY_BYTES", "SandboxedPhotoDecoder", "decode_photo"]
