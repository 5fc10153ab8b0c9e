"""The child that looks at pictures: it loads the network once, then scores what it is given."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO, Protocol

from PIL import Image

from bot.media.moderation._codec import READY_REPLY, REPLY, SCORE_REPLY, UNREADABLE_REPLY
from bot.processes.sandboxed import enter_sandbox

#: What we make ourselves; every photo was encoded anew by our gate.
_FORMATS = ("JPEG", "PNG")


class ImageScorer(Protocol):
    """Scores pictures."""

    def score(self, picture: Image.Image) -> float:
        """Score an RGB picture, 0 to 1."""


def main() -> None:
    """Score until the input ends; the command line says how much memory there may be."""
    output, pictures = enter_sandbox(int(sys.argv[1]), has_large_mappings=True)
    from bot.media.moderation._model import (
        OpenNsfwModel,  # only here: the library may be missing, and loads much
    )

    scorer = OpenNsfwModel()
    _write_reply(output, READY_REPLY, 0.0)
    while True:
        _write_reply(output, *score_reply(scorer, pictures.get()))


def score_reply(scorer: ImageScorer, picture: bytes) -> tuple[int, float]:
    """Give what is to be answered."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
            return SCORE_REPLY, scorer.score(image.convert("RGB"))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        print(f"a picture of {len(picture)} bytes: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return UNREADABLE_REPLY, 0.0


def _write_reply(stream: BinaryIO, kind: int, score: float) -> None:
    stream.write(REPLY.pack(kind, score))
    stream.flush()


if __name__ == "__main__":
    main()
