"""Make a file ready for Pillow, and see what it says before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from bot.core.photos import PhotoRefusal, PhotoRefused
from bot.media.decoding._cicp import Cicp
from bot.media.decoding._heif import (
    AVIF_AND_HEIC_BRANDS,
    GENERAL_BRANDS,
    list_brands,
    read_cicp,
    with_known_brand,
)
from bot.media.decoding._jpeg import END_OF_IMAGE, JPEG_MAGIC, JpegScans, read_scans
from bot.media.decoding._png import PNG_MAGIC, read_png

#: Of a picture that breaks off, this share of its rows may be missing, which browsers leave blank.
_MISSING_SHARE = 16
#: The end of a WebP cannot be looked at, so less may be missing, in bytes.
_MISSING_WEBP_SHARE = 64
#: What Pillow leaves where there is no data: nothing in a PNG; the middle of each channel in a JPEG.
_BLANK_VALUES = {"PNG": range(1), "JPEG": range(126, 131), "MPO": range(126, 131)}
#: How pictures begin that are pictures, but not of our formats: (offset, bytes).
_OTHER_FORMAT_MAGICS = (
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"8BPS"),
    (0, b"\xff\x0a"),  # JPEG XL
    (4, b"JXL "),
)


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """A file that Pillow can open. `is_cut` where it breaks off."""

    data: bytes
    is_cut: bool = False
    scans: JpegScans | None = None
    png_cicp: Cicp | None = None

    def cicp(self, image: Image.Image) -> Cicp | None:
        """Return the colours that the opened picture names by number."""
        return read_cicp(image, self.data) if image.format in ("AVIF", "HEIF") else self.png_cicp


def read_source(data: bytes) -> PhotoSource:
    """Return a file as Pillow can open it. Raise PhotoRefused when too much of it is missing."""
    if data.startswith(PNG_MAGIC):
        png = read_png(data)
        # Of an interlaced picture rows would be missing everywhere.
        _refuse_if(png.is_interlaced and not png.has_end)
        return PhotoSource(png.data, is_cut=not png.has_end, png_cicp=png.cicp)
    if data.startswith(JPEG_MAGIC):
        scans = read_scans(data)
        _refuse_if(not scans.has_end and not scans.may_lack_its_end)
        return PhotoSource(data if scans.has_end else data + END_OF_IMAGE, not scans.has_end, scans)
    return PhotoSource(_fill_webp(data) if _is_webp(data) else with_known_brand(data))


def _is_webp(data: bytes) -> bool:
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def _fill_webp(data: bytes) -> bytes:
    """Return a WebP that lacks a little in its full length, as its decoder wants it."""
    announced_bytes = int.from_bytes(data[4:8], "little") + 8
    missing_bytes = announced_bytes - len(data)
    return (
        data.ljust(announced_bytes, b"\0")
        if missing_bytes <= announced_bytes // _MISSING_WEBP_SHARE
        else data
    )


def check_end(image: Image.Image) -> None:
    """Raise PhotoRefused when a decoded picture that breaks off lacks more than its last rows."""
    width_px, height_px = image.size
    blank_values = _BLANK_VALUES[image.format or ""]
    last_rows = image.crop((0, height_px - height_px // _MISSING_SHARE, width_px, height_px))
    extrema = last_rows.getextrema()
    channels = extrema if isinstance(extrema[0], tuple) else (extrema,)
    _refuse_if(all(low in blank_values and high in blank_values for low, high in channels))


def unidentified_reason(data: bytes) -> PhotoRefusal:
    """Return why a file is refused that Pillow does not know."""
    head = data[:1024]
    brands = list_brands(data)
    is_other_format = any(head[offset:].startswith(magic) for offset, magic in _OTHER_FORMAT_MAGICS)
    if is_other_format or b"<svg" in head.lower():
        return PhotoRefusal.OTHER_FORMAT
    # Pillow says "cannot identify" also of a picture whose header is cut short.
    is_our_format = head.startswith((JPEG_MAGIC, PNG_MAGIC)) or _is_webp(head)
    if is_our_format or any(brand in AVIF_AND_HEIC_BRANDS for brand in brands):
        return PhotoRefusal.DAMAGED
    # HEIF with a codec that we lack.
    return (
        PhotoRefusal.OTHER_FORMAT
        if any(brand in GENERAL_BRANDS for brand in brands)
        else PhotoRefusal.NOT_A_PICTURE
    )


def _refuse_if(is_damaged: bool) -> None:
    if is_damaged:
        raise PhotoRefused(PhotoRefusal.DAMAGED)
