"""Replies of the child that measures photos: measurements as MessagePack, or the name of an error.

Another child decoded and encoded the photo before. Whoever broke into that one must not get further here.
"""

from __future__ import annotations

import logging

import msgspec

from bot.media.quality._types import PhotoMeasurements
from bot.processes.sandboxed import ReplyKind

log = logging.getLogger(__name__)

WITH_FACES, WITHOUT_FACES = "faces", "no-faces"  #: the child's last argument
MAX_REPLY_BYTES = 2**16

encoder = msgspec.msgpack.Encoder()
#: Checks every type and range.
_decoder = msgspec.msgpack.Decoder(PhotoMeasurements)


def decode_reply(kind: ReplyKind, body: bytes) -> PhotoMeasurements | None:
    """Return the measurements, or None if the photo could not be read. Raise ValueError for anything else."""
    if kind is ReplyKind.REFUSED:
        log.warning("a photo cannot be measured: %.100r", body)
        return None
    if kind is not ReplyKind.RESULT:
        raise ValueError("not a reply to a photo")
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError("not measurements") from error
