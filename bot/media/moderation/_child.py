"""The child process that scores pictures: it loads the network once."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Protocol

from PIL import Image

from bot.media.moderation._codec import encode_score
from bot.processes.sandboxed import Reply, refuse, serve_requests

#: We encode these ourselves: photos in the decoder, pictures in the worker.
_FORMATS = ("JPEG", "PNG")


class ImageScorer(Protocol):
    """Scores pictures."""

    def score(self, picture: Image.Image) -> float:
        """Score an RGB picture, 0 to 1."""


def load_handler() -> Callable[[bytes], Reply]:
    """Load the network, and return what scores a picture by it."""
    from bot.media.moderation._model import OpenNsfwModel  # here: the library may be missing, and loads much

    scorer = OpenNsfwModel()
    return lambda picture: score_picture(picture, scorer)


def score_picture(picture: bytes, scorer: ImageScorer) -> Reply:
    """Score an encoded picture."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
            return encode_score(scorer.score(image.convert("RGB")))
    except Exception as error:  # on hostile bytes decoders raise nearly every kind
        return refuse(error)


if __name__ == "__main__":
    serve_requests(load_handler)
