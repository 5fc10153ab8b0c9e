"""Decode photos and masks to tensors."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

import imaging
from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.inputs.conditioning import ImageSize
from gpu_worker.protocol import Crop

Size = tuple[int, int]  #: width and height in pixels
#: EXIF's orientations from here on swap width and height.
_FIRST_SIDEWAYS = 5


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


def measure_crop(photo: bytes, size_px: Size, crop: Crop | None = None) -> ImageSize:
    """Return which part of a photo `to_pixels` returns at this size, and how large the photo is."""
    with Image.open(io.BytesIO(photo)) as image:
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_SIDEWAYS:
            width, height = height, width
    left, top, right, bottom = _crop_box((width, height), crop)
    scale = max(size_px[0] / (right - left), size_px[1] / (bottom - top))
    margin_x = ((right - left) * scale - size_px[0]) / 2
    margin_y = ((bottom - top) * scale - size_px[1]) / 2
    return ImageSize(
        original_px=(width, height),
        crop_px=(round(left * scale + margin_x), round(top * scale + margin_y)),
        target_px=size_px,
        crop_right_px=round((width - right) * scale + margin_x),
    )


def _crop_box(size: Size, crop: Crop | None) -> tuple[int, int, int, int]:
    """Return the edges of the part of a picture that is used: left, top, right, bottom."""
    width, height = size
    if crop is None:
        return 0, 0, width, height
    left, top = round(crop.left * width), round(crop.top * height)
    right, bottom = round((crop.left + crop.width) * width), round((crop.top + crop.height) * height)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _load_and_fit(photo: bytes, size_px: Size, mode: str, crop: Crop | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo)) as file_image:
            image = imaging.to_eight_bits(ImageOps.exif_transpose(file_image))
            image = (imaging.lay_on_white(image) if mode == "RGB" else image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(JobProblem.PHOTO_UNREADABLE) from error
    if crop is not None:
        image = image.crop(_crop_box(image.size, crop))
        if not (image.width and image.height):
            raise BadInput(JobProblem.PHOTO_CROPPED_AWAY)
    return ImageOps.fit(image, size_px, Image.Resampling.LANCZOS)
