"""How a picture of any kind becomes one of eight bits a channel: the bot and the worker share this."""

from __future__ import annotations

import math

from PIL import Image

#: What is white in a picture of numbers without a range of their own: the first that is not exceeded counts.
#: Fractions may overshoot a little where they were sharpened.
_WHITES = {"F": ((2.0, 1.0), (255.0, 255.0), (65535.0, 65535.0)), "I": ((255, 255), (65535, 65535))}
_LARGEST_WHITE = 2.0**31 - 1


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 or 32 bits or of fractions scaled to 8 bits; any other as it is.

    Pillow's own `convert` would cut at 255, so that 16 bits become white and fractions black. Raises
    ValueError if numbers are not finite.
    """
    if image.mode in _WHITES:
        return _scale_to_white(image)
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point([value >> 8 for value in range(65536)], "L")


def _scale_to_white(image: Image.Image) -> Image.Image:
    brightest = max(float(str(value)) for value in image.getextrema())
    if not math.isfinite(brightest):
        raise ValueError("the picture has numbers that are not finite")
    white = next((white for limit, white in _WHITES[image.mode] if brightest <= limit), _LARGEST_WHITE)
    return image.point(lambda value: value * (255 / white) + 0.5).convert("L")


def lay_on_white(image: Image.Image) -> Image.Image:
    """Return a picture with transparency as RGB on white; any other as it is.

    Pillow's own `convert` would show what is hidden: black, or the green of a cut-out.
    """
    if not image.has_transparency_data:
        return image
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
