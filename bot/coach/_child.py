"""The child that looks at photos: it loads what it needs once, then measures what it is given."""

from __future__ import annotations

import importlib.util
import os
import queue
import sys
import threading
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from PIL import Image

from bot.coach._measures import read, sight
from bot.coach._pipe import ANSWER, FACES, NOT_SEEN, READY, REQUEST, SIGHT, encoder
from bot.coach._sight import Face

#: The extra `faces`.
NEEDED_FOR_FACES = ("ai_edge_litert", "dlib", "face_recognition_models", "numpy")


class Finder(Protocol):
    """Finds faces."""

    def find(self, picture: Image.Image) -> tuple[Face, ...]:
        """Find the faces of an RGB picture, the largest first."""


def main() -> None:
    """Measure until the input ends; the command line says how much memory there may be."""
    # What libraries print must not tear an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_this_process(int(sys.argv[1]))
    photos: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A reader of its own, so that the end of the parent also ends a look that never would.
    threading.Thread(target=_read, args=(sys.stdin.buffer, photos), daemon=True).start()
    finder = load_finder() if sys.argv[2] == FACES else None
    _say(answers, READY, bytes([finder is not None]))
    while True:
        _answer(answers, photos.get(), finder)


def load_finder(needed: Sequence[str] = NEEDED_FOR_FACES) -> Finder | None:
    """Load what finds faces; None where the extra `faces` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in needed):
        return None
    from bot.coach._faces import FaceFinder  # only here: the libraries may be missing

    return FaceFinder()


def _answer(answers: BinaryIO, photo: bytes, finder: Finder | None) -> None:
    try:
        picture = read(photo)
        seen = sight(picture, None if finder is None else finder.find(picture))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        _say(answers, NOT_SEEN, type(error).__name__.encode()[:100])
    else:
        _say(answers, SIGHT, encoder.encode(seen))


def _read(stream: BinaryIO, photos: queue.SimpleQueue[bytes]) -> None:
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        if len(photo := stream.read(length)) < length:
            break
        photos.put(photo)
    os._exit(0)


def _say(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(ANSWER.pack(kind, len(body)) + body)
    stream.flush()


def _limit_this_process(memory_bytes: int) -> None:
    """Bound its memory; no file may grow, and none that holds a photo is left by a crash."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    # Not RLIMIT_AS: libraries map far more than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
