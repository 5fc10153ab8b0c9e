"""The child that looks at photos: it loads what it needs once, then measures what it is given."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import BinaryIO, Protocol

from PIL import Image

from bot.media.quality._codec import (
    MEASUREMENTS_REPLY,
    READY_REPLY,
    REPLY_HEADER,
    UNREADABLE_REPLY,
    WITH_FACES,
    encoder,
)
from bot.media.quality._measurements import decode_photo, measure_photo
from bot.media.quality._types import Face
from bot.processes.sandboxed import enter_sandbox

#: The extra `faces`.
FACE_MODULES = ("ai_edge_litert", "dlib", "face_recognition_models", "numpy")


class FaceDetector(Protocol):
    """Finds faces."""

    def detect(self, picture: Image.Image) -> tuple[Face, ...]:
        """Find the faces of an RGB picture, the largest first."""


def main() -> None:
    """Measure until the input ends; the command line says how much memory there may be."""
    output, photos = enter_sandbox(int(sys.argv[1]), has_large_mappings=True)
    detector = load_detector() if sys.argv[2] == WITH_FACES else None
    _write_reply(output, READY_REPLY, bytes([detector is not None]))
    while True:
        _process_photo(output, photos.get(), detector)


def load_detector(module_names: Sequence[str] = FACE_MODULES) -> FaceDetector | None:
    """Load what finds faces; None where the extra `faces` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in module_names):
        return None
    from bot.media.quality._faces import BlazeFaceDetector  # only here: the libraries may be missing

    return BlazeFaceDetector()


def _process_photo(output: BinaryIO, photo: bytes, detector: FaceDetector | None) -> None:
    try:
        picture = decode_photo(photo)
        measurements = measure_photo(picture, None if detector is None else detector.detect(picture))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        _write_reply(output, UNREADABLE_REPLY, type(error).__name__.encode()[:100])
    else:
        _write_reply(output, MEASUREMENTS_REPLY, encoder.encode(measurements))


def _write_reply(stream: BinaryIO, kind: int, body: bytes) -> None:
    stream.write(REPLY_HEADER.pack(kind, len(body)) + body)
    stream.flush()


if __name__ == "__main__":
    main()
