"""The child that looks at photos: it loads what it needs once, then measures what it is given."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from PIL import Image

from bot.media.quality._codec import ANSWER, FACES, NOT_SEEN, READY, SIGHT, encoder
from bot.media.quality._measurements import read, sight
from bot.media.quality._types import Face
from bot.processes.sandboxed import opened

#: The extra `faces`.
NEEDED_FOR_FACES = ("ai_edge_litert", "dlib", "face_recognition_models", "numpy")


class Finder(Protocol):
    """Finds faces."""

    def find(self, picture: Image.Image) -> tuple[Face, ...]:
        """Find the faces of an RGB picture, the largest first."""


def main() -> None:
    """Measure until the input ends; the command line says how much memory there may be."""
    answers, photos = opened(int(sys.argv[1]), maps_much=True)
    finder = load_finder() if sys.argv[2] == FACES else None
    _say(answers, READY, bytes([finder is not None]))
    while True:
        _answer(answers, photos.get(), finder)


def load_finder(needed: Sequence[str] = NEEDED_FOR_FACES) -> Finder | None:
    """Load what finds faces; None where the extra `faces` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in needed):
        return None
    from bot.media.quality._faces import FaceFinder  # only here: the libraries may be missing

    return FaceFinder()


def _answer(answers: BinaryIO, photo: bytes, finder: Finder | None) -> None:
    try:
        picture = read(photo)
        seen = sight(picture, None if finder is None else finder.find(picture))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        _say(answers, NOT_SEEN, type(error).__name__.encode()[:100])
    else:
        _say(answers, SIGHT, encoder.encode(seen))


def _say(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(ANSWER.pack(kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
