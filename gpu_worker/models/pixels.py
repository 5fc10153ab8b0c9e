"""Decode photos and masks to tensors."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

import imaging
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.protocol import Crop

Size = tuple[int, int]  #: width and height in pixels


def to_pixels(photo: bytes, size_px: Size, crop: Crop | None = None) -> Tensor:
    """Return a photo, or a part of it, cropped to the centre and resized, as (3, height, width), -1 .. 1.

    Raises BadInput if it cannot be read.
    """
    values = torch.from_numpy(np.array(_load_and_fit(photo, size_px, "RGB", crop))).permute(2, 0, 1)
    return values.float() / 127.5 - 1


def to_loss_mask(mask: bytes, size_px: Size, vae_scale_factor: int, crop: Crop | None = None) -> Tensor:
    """Return a mask as loss weights on the grid of latents, (1, h, w), 0 .. 1."""
    values = torch.from_numpy(np.array(_load_and_fit(mask, size_px, "L", crop))).float() / 255
    return torch.nn.functional.interpolate(
        values[None, None], scale_factor=1 / vae_scale_factor, mode="area"
    )[0]


def _load_and_fit(photo: bytes, size_px: Size, mode: str, crop: Crop | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo)) as file_image:
            image = imaging.to_eight_bits(ImageOps.exif_transpose(file_image))
            image = (imaging.lay_on_white(image) if mode == "RGB" else image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(JobProblem.PHOTO_UNREADABLE) from error
    if crop is not None:
        width, height = image.size
        left, top = round(crop.left * width), round(crop.top * height)
        right, bottom = round((crop.left + crop.width) * width), round((crop.top + crop.height) * height)
        image = image.crop((max(0, left), max(0, top), min(width, right), min(height, bottom)))
        if not (image.width and image.height):
            raise BadInput(JobProblem.PHOTO_CROPPED_AWAY)
    return ImageOps.fit(image, size_px, Image.Resampling.LANCZOS)
