"""The child that looks at pictures: it loads the network once, then scores what it is given."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO, Protocol

from PIL import Image

from bot.media.moderation._codec import ANSWER, NOT_SEEN, READY, SCORE
from bot.processes.sandboxed import opened

#: What we make ourselves; every photo was encoded anew by our gate.
_FORMATS = ("JPEG", "PNG")


class Scorer(Protocol):
    """Scores pictures."""

    def score(self, picture: Image.Image) -> float:
        """Score an RGB picture, 0 to 1."""


def main() -> None:
    """Score until the input ends; the command line says how much memory there may be."""
    answers, pictures = opened(int(sys.argv[1]), maps_much=True)
    from bot.media.moderation._model import Model  # only here: the library may be missing, and loads much

    scorer = Model()
    _say(answers, READY, 0.0)
    while True:
        _say(answers, *scored(scorer, pictures.get()))


def scored(scorer: Scorer, picture: bytes) -> tuple[int, float]:
    """Give what is to be answered."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as shown:
            return SCORE, scorer.score(shown.convert("RGB"))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        print(f"a picture of {len(picture)} bytes: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return NOT_SEEN, 0.0


def _say(stream: BinaryIO, kind: int, score: float) -> None:
    stream.write(ANSWER.pack(kind, score))
    stream.flush()


if __name__ == "__main__":
    main()
