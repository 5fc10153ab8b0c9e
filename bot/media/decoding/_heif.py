"""What the containers of HEIC and AVIF say beside the pixels: which of the two it is, and the colours."""

from __future__ import annotations

import io

import pi_heif
from PIL import Image

from bot.core.photos import MAX_WEB_PIXELS
from bot.media.decoding._cicp import Cicp, tone_map_table

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
_RGB16_BYTES = 6


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


def read_hdr(data: bytes, cicp: Cicp, max_side_px: int) -> Image.Image | None:
    """Return a HEIC of 10 bits or more in the range of SDR, no larger than needed; None where it has 8.

    Its colours keep their primaries. Made 8 bits before its curve is applied, it would lose its dark shades.
    """
    heif = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    width_px, height_px = heif.size
    row_bytes = heif.stride
    if heif.mode != "RGB;16" or row_bytes % _RGB16_BYTES or width_px * height_px > MAX_WEB_PIXELS:
        return None
    scale = min(1.0, max_side_px / max(heif.size))
    size_px = round(scale * width_px), round(scale * height_px)
    values = memoryview(heif.data).cast("B").cast("H")
    channels = []
    for channel in range(3):
        plane = values[channel::3].tobytes()
        image = Image.frombuffer("I;16", heif.size, plane, "raw", "I;16", row_bytes // 3, 1)
        small = _shrink(image, size_px)
        channels.append(small.convert("I").point(tone_map_table(cicp), "L"))
    return Image.merge("RGB", channels)


def _shrink(image: Image.Image, size_px: tuple[int, int]) -> Image.Image:
    # By blocks first, which needs less time; `reduce` takes no 16 bits.
    double_px = 2 * size_px[0], 2 * size_px[1]
    if image.width > double_px[0]:
        image = image.resize(double_px, Image.Resampling.BOX)
    return image if image.size == size_px else image.resize(size_px, Image.Resampling.LANCZOS)


def read_cicp(image: Image.Image, data: bytes) -> Cicp | None:
    """Return the colours that the container of an opened HEIC or AVIF names by number."""
    nclx = image.info.get("nclx_profile")
    if image.format == "AVIF":  # Pillow does not tell them; libheif reads the container of both
        try:
            nclx = pi_heif.open_heif(io.BytesIO(data)).info.get("nclx_profile")
        except (ValueError, RuntimeError, OSError, SyntaxError, EOFError):  # one that only Pillow can read
            return None
    return None if nclx is None else Cicp(nclx["color_primaries"], nclx["transfer_characteristics"])
