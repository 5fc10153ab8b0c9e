"""The child that decodes: it reads pictures from its input and says of each what it became."""

from __future__ import annotations

import sys
from typing import BinaryIO

from bot.core.errors import UserError
from bot.media.decoding._codec import ANSWER, PHOTO, READY, REFUSED
from bot.media.decoding._decode import SENTENCES, decode
from bot.processes.sandboxed import opened


def main() -> None:
    """Decode until the input ends; the command line says how many bytes of memory there may be."""
    answers, pictures = opened(int(sys.argv[1]))
    _say(answers, READY, b"")
    while True:
        try:
            photo = decode(pictures.get())
        except UserError as error:
            _say(answers, REFUSED, bytes([SENTENCES.index(error.sentence)]))
        else:
            _say(answers, PHOTO, bytes.fromhex(photo.sha256) + photo.data)


def _say(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(ANSWER.pack(kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
