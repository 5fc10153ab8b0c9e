"""What the child that decodes photos replies: a photo, or the number of a `PhotoRefusal`.

Plain bytes, because somebody who breaks a decoder owns the child: its replies must not be able to say more.
"""

from __future__ import annotations

from bot.core.photos import NewPhoto, PhotoRefusal
from bot.processes.sandboxed import Reply, ReplyKind

#: A photo is the SHA-256 of its pixels, then the JPEG.
_SHA256_BYTES = 32
_JPEG_MAGIC = b"\xff\xd8\xff"


def encode_reply(photo: NewPhoto | PhotoRefusal) -> Reply:
    """Return what the child sends of a photo or its refusal."""
    if isinstance(photo, PhotoRefusal):
        return ReplyKind.REFUSED, bytes([photo])
    return ReplyKind.RESULT, bytes.fromhex(photo.pixel_sha256) + photo.data


def decode_reply(kind: ReplyKind, body: bytes) -> NewPhoto | PhotoRefusal:
    """Return the photo or its refusal. Raise ValueError when the reply is neither."""
    if kind is ReplyKind.REFUSED and len(body) == 1:
        return PhotoRefusal(body[0])
    jpeg = body[_SHA256_BYTES:]
    if kind is not ReplyKind.RESULT or not jpeg.startswith(_JPEG_MAGIC):
        raise ValueError("neither a photo nor a refusal")
    return NewPhoto(body[:_SHA256_BYTES].hex(), jpeg)
