"""How a picture of any kind becomes one of eight bits a channel: the bot and the worker share this."""

from __future__ import annotations

from PIL import Image


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits scaled to 8; any other as it is.

    Pillow's own `convert` would cut at 255, so that nearly every such picture becomes white.
    """
    if not image.mode.startswith("I"):
        return image
    return image.convert("I").point([value >> 8 for value in range(65536)], "L")


def lay_on_white(image: Image.Image) -> Image.Image:
    """Return a picture with transparency as RGB on white; any other as it is.

    Pillow's own `convert` would show what is hidden: black, or the green of a cut-out.
    """
    if not image.has_transparency_data:
        return image
    picture = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
