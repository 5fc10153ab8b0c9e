"""The child that looks at pictures: it loads the network once, then scores what it is given."""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
from typing import BinaryIO, Protocol

from PIL import Image

from bot.safety._pipe import ANSWER, NOT_SEEN, READY, REQUEST, SCORE

#: What we make ourselves; every photo was encoded anew by our gate.
_FORMATS = ("JPEG", "PNG")


class Scorer(Protocol):
    """Scores pictures."""

    def score(self, picture: Image.Image) -> float:
        """Score an RGB picture, 0 to 1."""


def main() -> None:
    """Score until the input ends; the command line says how much memory there may be."""
    # What libraries print must not tear an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_this_process(int(sys.argv[1]))
    from bot.safety._model import Model  # only here: the library may be missing, and loads much

    scorer, pictures = Model(), queue.SimpleQueue[bytes]()
    # A reader of its own, so that the end of the parent also ends a look that never would.
    threading.Thread(target=_read, args=(sys.stdin.buffer, pictures), daemon=True).start()
    _say(answers, READY, 0.0)
    while True:
        _say(answers, *scored(scorer, pictures.get()))


def scored(scorer: Scorer, picture: bytes) -> tuple[int, float]:
    """Give what is to be answered."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as opened:
            return SCORE, scorer.score(opened.convert("RGB"))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        print(f"a picture of {len(picture)} bytes: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return NOT_SEEN, 0.0


def _read(stream: BinaryIO, pictures: queue.SimpleQueue[bytes]) -> None:
    while len(head := stream.read(REQUEST.size)) == REQUEST.size:
        (length,) = REQUEST.unpack(head)
        if len(picture := stream.read(length)) < length:
            break
        pictures.put(picture)
    os._exit(0)


def _say(stream: BinaryIO, kind: int, score: float) -> None:
    stream.write(ANSWER.pack(kind, score))
    stream.flush()


def _limit_this_process(memory_bytes: int) -> None:
    """Bound its memory; no file may grow, and none that holds a picture is left by a crash."""
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
