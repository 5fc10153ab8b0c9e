"""The child process that measures photos: it loads the networks once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

from PIL import Image

from bot.media.quality._codec import WITH_FACES, encoder
from bot.media.quality._measurements import decode_photo, measure_photo
from bot.media.quality._types import Face
from bot.processes.sandboxed import Reply, ReplyKind, refuse, serve_requests


class FaceDetector(Protocol):
    """Finds faces."""

    def detect(self, picture: Image.Image) -> tuple[Face, ...]:
        """Return the faces of an RGB picture, the largest first."""


def load_handler() -> Callable[[bytes], Reply]:
    """Load the networks if they are wanted. Return the function that measures a photo."""
    if sys.argv[-1] != WITH_FACES:
        return lambda photo: measure(photo, None)
    from bot.media.quality._faces import BlazeFaceDetector  # here: the libraries may be missing

    detector = BlazeFaceDetector()
    return lambda photo: measure(photo, detector)


def measure(photo: bytes, detector: FaceDetector | None) -> Reply:
    """Return the measurements of an encoded photo."""
    try:
        picture = decode_photo(photo)
        measurements = measure_photo(picture, None if detector is None else detector.detect(picture))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        return refuse(error)
    return ReplyKind.RESULT, encoder.encode(measurements)


if __name__ == "__main__":
    serve_requests(load_handler)
