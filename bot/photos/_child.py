"""The child that decodes: it reads pictures from its input and says of each what it became."""

from __future__ import annotations

import os
import queue
import sys
import threading
from typing import BinaryIO

from bot.errors import UserError
from bot.photos._decode import SENTENCES, decode
from bot.photos._pipe import ANSWER, PHOTO, READY, REFUSED, REQUEST


def main() -> None:
    """Decode until the input ends; the command line says how many bytes of memory there may be."""
    # What libraries print must not tear an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_this_process(int(sys.argv[1]))
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A reader of its own, so that the end of the parent also ends a decode that never would.
    threading.Thread(target=_read, args=(sys.stdin.buffer, pictures), daemon=True).start()
    _say(answers, READY, b"")
    while True:
        try:
            photo = decode(pictures.get())
        except UserError as error:
            _say(answers, REFUSED, bytes([SENTENCES.index(error.sentence)]))
        else:
            _say(answers, PHOTO, bytes.fromhex(photo.sha256) + photo.data)


def _read(stream: BinaryIO, pictures: queue.SimpleQueue[bytes]) -> None:
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        if len(picture := stream.read(length)) < length:
            break
        pictures.put(picture)
    os._exit(0)


def _say(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(ANSWER.pack(kind, len(body)) + body)
    stream.flush()


def _limit_this_process(memory_bytes: int) -> None:
    """Bound the memory; no file may grow, and none that holds a photo is left by a crash."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
