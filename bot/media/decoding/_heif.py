"""What the containers of HEIC and AVIF say beside the pixels: which of the two it is, and the colours."""

from __future__ import annotations

import io

import pi_heif
from PIL import Image

from bot.media.decoding._cicp import Cicp

AVIF_AND_HEIC_BRANDS = {b"avif", b"avis"} | {
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"hevm",
    b"hevs",
}
#: They name the container, whatever is in it.
GENERAL_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_MAX_BRANDS = 64


def list_brands(data: bytes) -> list[bytes]:
    """Return the main brand of an ISO media file, then the others; none of another file."""
    if data[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    return [data[8:12], *(data[offset : offset + 4] for offset in range(16, end, 4))]


def with_known_brand(data: bytes) -> bytes:
    """Return the file with a main brand by which its decoder knows it.

    The main brand may only name the container. Then the others tell.
    """
    brands = list_brands(data)
    known_brand = next((brand for brand in brands if brand in AVIF_AND_HEIC_BRANDS), None)
    return data if known_brand is None or known_brand == brands[0] else data[:8] + known_brand + data[12:]


def read_cicp(image: Image.Image, data: bytes) -> Cicp | None:
    """Return the colours that the container of an opened HEIC or AVIF names by number."""
    nclx = image.info.get("nclx_profile")
    if image.format == "AVIF":  # Pillow does not tell them; libheif reads the container of both
        try:
            nclx = pi_heif.open_heif(io.BytesIO(data)).info.get("nclx_profile")
        except (ValueError, RuntimeError, OSError, SyntaxError, EOFError):  # one that only Pillow can read
            return None
    return None if nclx is None else Cicp(nclx["color_primaries"], nclx["transfer_characteristics"])
