"""From photos to training pictures: decode, turn upright, cut square, scale, and the order they come in."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from gpu_worker.errors import BadInput


@dataclass(frozen=True)
class CaptionedPhoto:
    """One training picture as a file's bytes, the words for it, and how often it comes in a round."""

    data: bytes
    caption: str
    repeats: int = 1
    folder: str = ""  #: the data folder it came from, for the file's metadata


def to_pixels(photo: bytes, side_px: int) -> Tensor:
    """Return the middle square of a photo as (3, side, side) in -1 .. 1; BadInput when it is no picture."""
    try:
        with Image.open(io.BytesIO(photo)) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("One of the photos cannot be read as a picture.") from error
    square = ImageOps.fit(upright, (side_px, side_px), Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(square)).permute(2, 0, 1)
    return values.float() / 127.5 - 1


class Order:
    """Which pictures a step sees: every round a new shuffle, a pure function of seed and step.

    So a resumed training needs no memory of it, and nobody else's random draws can change it.
    """

    def __init__(self, repeats: list[int], batch_size: int, seed: int) -> None:
        self._round = [index for index, times in enumerate(repeats) for _ in range(times)]
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, step: int) -> list[int]:
        """Return the pictures' indices of this step, counted from 0."""
        first = step * self._batch_size
        return [self._at(position) for position in range(first, first + self._batch_size)]

    def _at(self, position: int) -> int:
        number, within = divmod(position, len(self._round))
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        shuffled = torch.randperm(len(self._round), generator=generator)
        return self._round[int(shuffled[within])]
