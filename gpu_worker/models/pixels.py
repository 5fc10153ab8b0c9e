"""Photos and masks as tensors."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gpu_worker.errors import BadInput
from gpu_worker.protocol import Crop

Size = tuple[int, int]  #: width and height in pixels


def to_pixels(photo: bytes, size_px: Size, crop: Crop | None = None) -> Tensor:
    """Return the middle of a photo, or of a part of it, as (3, height, width) in -1 .. 1.

    BadInput when it is no picture.
    """
    values = torch.from_numpy(np.array(_fit(photo, size_px, "RGB", crop))).permute(2, 0, 1)
    return values.float() / 127.5 - 1


def to_weights(mask: bytes, size_px: Size, latent_px: int, crop: Crop | None = None) -> Tensor:
    """Return a mask as loss weights 0 .. 1 on the latents' grid: each is that many pixels wide."""
    values = torch.from_numpy(np.array(_fit(mask, size_px, "L", crop))).float() / 255
    return torch.nn.functional.interpolate(values[None, None], scale_factor=1 / latent_px, mode="area")[0]


def _fit(photo: bytes, size_px: Size, mode: str, crop: Crop | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo)) as opened:
            upright = ImageOps.exif_transpose(opened).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("One of the photos cannot be read as a picture.") from error
    if crop is not None:
        wide, high = upright.size
        left, top = round(crop.left * wide), round(crop.top * high)
        right, bottom = round((crop.left + crop.width) * wide), round((crop.top + crop.height) * high)
        upright = upright.crop((max(0, left), max(0, top), min(wide, right), min(high, bottom)))
        if not (upright.width and upright.height):
            raise BadInput("Nothing is left of one of the photos when it is cropped.")
    return ImageOps.fit(upright, size_px, Image.Resampling.LANCZOS)
