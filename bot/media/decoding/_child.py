"""The child that decodes: it reads pictures from its input and says of each what it became."""

from __future__ import annotations

import sys
from typing import BinaryIO

from bot.core.photos import PhotoRefused
from bot.media.decoding._codec import PHOTO_REPLY, READY_REPLY, REFUSED_REPLY, REPLY_HEADER
from bot.media.decoding._decode import decode_photo
from bot.processes.sandboxed import enter_sandbox


def main() -> None:
    """Decode until the input ends; the command line says how many bytes of memory there may be."""
    output, pictures = enter_sandbox(int(sys.argv[1]))
    _write_reply(output, READY_REPLY, b"")
    while True:
        try:
            photo = decode_photo(pictures.get())
        except PhotoRefused as error:
            _write_reply(output, REFUSED_REPLY, bytes([error.reason]))
        else:
            _write_reply(output, PHOTO_REPLY, bytes.fromhex(photo.sha256) + photo.data)


def _write_reply(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(REPLY_HEADER.pack(kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
