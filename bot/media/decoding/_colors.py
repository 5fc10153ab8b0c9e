"""Bring a picture's colours into sRGB, whatever tells what they are."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageCms

from bot.media.decoding._cicp import Cicp, cicp_profile, gamma_profile

#: What a picture is made for a profile of that space. Profiles for others are applied to no picture.
_MODES_BY_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def find_profile(image: Image.Image, cicp: Cicp | None) -> bytes | None:
    """Return the ICC profile of an opened picture; None where its colours are sRGB as far as it says.

    `cicp` is what its container says. In a PNG that counts more than a profile, elsewhere less.
    """
    profile: bytes | None = image.info.get("icc_profile")
    if cicp is not None and (image.format == "PNG" or not profile):
        return cicp_profile(cicp)
    return profile or _chromaticity_profile(image)


def _chromaticity_profile(image: Image.Image) -> bytes | None:
    # Browsers go by these two only when both are there, and no one says sRGB.
    chromaticities, gamma = image.info.get("chromaticity"), image.info.get("gamma")
    if image.format != "PNG" or not chromaticities or not gamma or "srgb" in image.info:
        return None
    white_x, white_y, *primaries = chromaticities
    try:
        return gamma_profile((*primaries, white_x, white_y), 1 / gamma)
    except (ArithmeticError, struct.error):  # there are no such colours
        return None


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in sRGB; with a profile that does not fit, its colours as they are."""
    # Phones' photos are often in Display P3; dropping the profile alone would make them pale.
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES_BY_SPACE[source.profile.xcolor_space.strip()]
        fitting = picture if picture.mode == mode or "CMYK" in (mode, picture.mode) else picture.convert(mode)
        converted = ImageCms.profileToProfile(
            fitting, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, KeyError):
        return picture
    return converted or picture
