"""Measurements that need Pillow alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from bot.core.photos import MAX_PHOTO_SIDE_PX
from bot.media.quality._types import Face, PhotoMeasurements

FACE_SIDE_PX = 160
_SHARPNESS_SIDE_PX, _TILES_PER_SIDE = 768, 6
#: A background may be out of focus; this many of the 36 tiles must be sharp, and one of them may be a speck.
_SHARP_TILES = 4
_LAPLACIAN_SCALE = 4
_LAPLACIAN = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=_LAPLACIAN_SCALE, offset=128)
BLOWN_OUT_LEVEL = 250
_COLOURS_SIDE_PX = 64
#: Of 255, between the channels of one pixel: a black and white photo has no more, whatever JPEG makes of it.
_GREY_SPREAD, _GREY_SHARE = 10, 0.995


def decode_photo(photo: bytes) -> Image.Image:
    """Return a photo of our own decoder. Raise ValueError if it is larger than those are."""
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        if max(image.size) > MAX_PHOTO_SIDE_PX:
            raise ValueError("larger than what the gate keeps")
        return image.convert("RGB")


def measure_photo(picture: Image.Image, faces: tuple[Face, ...] | None) -> PhotoMeasurements:
    """Return the measurements of a photo as a whole."""
    grey = picture.convert("L")
    grey.thumbnail((_SHARPNESS_SIDE_PX, _SHARPNESS_SIDE_PX), Image.Resampling.BILINEAR)
    greenery, sky = _colour_shares(picture)
    return PhotoMeasurements(
        width_px=picture.width,
        height_px=picture.height,
        sharpness=_tile_sharpness(grey),
        brightness=ImageStat.Stat(grey).mean[0],
        highlight=highlight(grey),
        blown_out=blown_out(grey),
        greenery=greenery,
        sky=sky,
        hash=perceptual_hash(picture),
        faces=faces,
        is_grey=is_grey(picture),
    )


def face_sharpness(crop: Image.Image) -> float:
    """Return the variance of the Laplacian of a grey crop, whatever its size and contrast.

    The contrast is stretched first, so that neither weak light nor a shade of skin counts as blur.
    """
    small = crop.resize((FACE_SIDE_PX, FACE_SIDE_PX), Image.Resampling.BILINEAR)
    return _variance(_filter_edges(ImageOps.autocontrast(small, cutoff=1)))


def highlight(grey: Image.Image) -> float:
    """Return the brightness at which the brightest twentieth begins, 0 to 255.

    The mean depends on the shade of skin. Eyes and the light on a forehead are bright on everyone who is lit.
    """
    pixels_left = grey.width * grey.height / 20
    for value, count in reversed(list(enumerate(grey.histogram()))):
        pixels_left -= count
        if pixels_left <= 0:
            return value
    return 0


def blown_out(grey: Image.Image) -> float:
    """Return the share of pixels that are white."""
    return sum(grey.histogram()[BLOWN_OUT_LEVEL:]) / (grey.width * grey.height)


def is_grey(picture: Image.Image) -> bool:
    """Return whether a photo is black and white."""
    small = picture.resize((_COLOURS_SIDE_PX, _COLOURS_SIDE_PX), Image.Resampling.BOX)
    red, green, blue = small.split()
    lightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    spreads = ImageChops.subtract(lightest, darkest).histogram()
    return sum(spreads[: _GREY_SPREAD + 1]) >= _GREY_SHARE * _COLOURS_SIDE_PX**2


def perceptual_hash(picture: Image.Image) -> bytes:
    """Return 128 bits: for 8 x 8 places whether it gets darker to the right and downwards."""
    grey = picture.convert("L")
    horizontal = grey.resize((9, 8), Image.Resampling.BILINEAR).tobytes()
    vertical = grey.resize((8, 9), Image.Resampling.BILINEAR).tobytes()
    bits = [horizontal[9 * y + x] > horizontal[9 * y + x + 1] for y in range(8) for x in range(8)]
    bits += [vertical[8 * y + x] > vertical[8 * (y + 1) + x] for y in range(8) for x in range(8)]
    return sum(bit << index for index, bit in enumerate(bits)).to_bytes(16, "big")


def _tile_sharpness(grey: Image.Image) -> float:
    edges, variances = _filter_edges(grey), []
    x_edges, y_edges = _tile_edges(edges.width), _tile_edges(edges.height)
    for top, bottom in pairwise(y_edges):
        for left, right in pairwise(x_edges):
            variances.append(_variance(edges.crop((left, top, right, bottom))))
    return sorted(variances)[-_SHARP_TILES]


def _tile_edges(length_px: int) -> Sequence[int]:
    return [number * length_px // _TILES_PER_SIDE for number in range(_TILES_PER_SIDE + 1)]


def _filter_edges(grey: Image.Image) -> Image.Image:
    # The outermost pixels have no neighbours, and Pillow leaves them as they were.
    return grey.filter(_LAPLACIAN).crop((1, 1, grey.width - 1, grey.height - 1))


def _variance(edges: Image.Image) -> float:
    return ImageStat.Stat(edges).var[0] * _LAPLACIAN_SCALE**2


def _colour_shares(picture: Image.Image) -> tuple[float, float]:
    """Return the shares of leaf green with texture, and of sky blue in the upper half."""
    small = picture.resize((_COLOURS_SIDE_PX, _COLOURS_SIDE_PX), Image.Resampling.BOX).convert("HSV")
    hues, saturations, values = (band.tobytes() for band in small.split())
    greenery = sky = 0
    for index, (hue, saturation, value) in enumerate(zip(hues, saturations, values, strict=True)):
        left_value = values[index - 1] if index % _COLOURS_SIDE_PX else value
        # Hue in 256ths of the circle. Leaves and grass vary from spot to spot; painted walls do not.
        if 35 <= hue <= 100 and saturation > 60 and value > 40 and abs(value - left_value) >= 3:
            greenery += 1
        elif 130 <= hue <= 180 and saturation > 40 and value > 90 and index < len(values) // 2:
            sky += 1
    return greenery / len(values), sky / len(values)
