"""Decode a person's picture: upright, in sRGB, small enough and without metadata, or refuse it."""

from __future__ import annotations

import hashlib
import io
import re
import warnings

import pi_heif
from PIL import Image, ImageCms, UnidentifiedImageError

import imaging
from bot.core.photos import (
    MAX_LOSSLESS_PIXELS,
    MAX_PHOTO_PIXELS,
    MAX_PHOTO_SIDE_PX,
    MIN_PHOTO_SIDE_PX,
    NewPhoto,
    PhotoRefusal,
    PhotoRefused,
)

MAX_PIXELS_BY_FORMAT = {"PNG": MAX_LOSSLESS_PIXELS, "WEBP": MAX_LOSSLESS_PIXELS}
#: Each scan of a JPEG is a pass over all its pixels, and costs a forger a few bytes. A sound one has 20.
MAX_SCAN_PIXELS = 20 * MAX_PHOTO_PIXELS
JPEG_QUALITY = 95
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")  # phones' MPO opens as JPEG

#: In a scan, FF means something only before these.
_MARKER_PATTERN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: How pictures begin that are pictures, but not of our formats: (offset, bytes).
_OTHER_FORMAT_MAGICS = (
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"8BPS"),
    (0, b"\xff\x0a"),  # JPEG XL
    (4, b"JXL "),
    (4, b"ftypavif"),
    (4, b"ftypavis"),
)


def decode_photo(data: bytes) -> NewPhoto:
    """Decode, turn, shrink and re-encode one picture; PhotoRefused says why not. Runs in a child."""
    # One try from open to save: on hostile bytes Pillow raises nearly every kind of error at nearly every
    # step, not only UnidentifiedImageError at the first.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is dropped; many pixels, which we check
            return _decode_image(data)
    except PhotoRefused:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise PhotoRefused(PhotoRefusal.TOO_MANY_PIXELS) from None
    except UnidentifiedImageError:
        raise PhotoRefused(_unidentified_reason(data)) from None
    except Exception:
        raise PhotoRefused(PhotoRefusal.DAMAGED) from None


def _decode_image(data: bytes) -> NewPhoto:
    pi_heif.register_heif_opener(thumbnails=False)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image.size, MAX_PIXELS_BY_FORMAT.get(image.format or "", MAX_PHOTO_PIXELS))
        if image.format in ("JPEG", "MPO"):
            _check_scans(image.size, data)
        transposition = _TRANSPOSITIONS.get(_orientation(image))
        # JPEG can decode at a half, a quarter or an eighth: far less time and memory for large photos.
        image.draft("RGB", (MAX_PHOTO_SIDE_PX, MAX_PHOTO_SIDE_PX))
        image.load()  # animations: their first frame
        picture = _to_rgb(image)
    if transposition is not None:
        picture = picture.transpose(transposition)
    return _encode_photo(picture)


def _check_size(size_px: tuple[int, int], max_pixels: int) -> None:
    width_px, height_px = size_px
    if width_px * height_px > max_pixels:
        raise PhotoRefused(PhotoRefusal.TOO_MANY_PIXELS)
    # A long panorama loses its short side when it is made to fit, so that is what counts.
    scale = min(1.0, MAX_PHOTO_SIDE_PX / max(size_px))
    if min(size_px) * scale < MIN_PHOTO_SIDE_PX:
        raise PhotoRefused(PhotoRefusal.TOO_SMALL)


def _check_scans(size_px: tuple[int, int], jpeg: bytes) -> None:
    scan_count, offset = 0, 2
    while (marker := _MARKER_PATTERN.search(jpeg, offset)) is not None and marker[0] != _END_OF_IMAGE:
        scan_count += marker[0] == _START_OF_SCAN
        offset = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    if scan_count * size_px[0] * size_px[1] > MAX_SCAN_PIXELS:
        raise PhotoRefused(PhotoRefusal.DAMAGED)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a photo with broken metadata is still a photo
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in sRGB, at most MAX_PHOTO_SIDE_PX long, transparency on white."""
    profile = image.info.get("icc_profile")
    picture = imaging.to_eight_bits(image)
    if picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    # reducing_gap: shrink by whole numbers first, which needs neither the time nor the memory.
    picture.thumbnail((MAX_PHOTO_SIDE_PX, MAX_PHOTO_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    picture = _to_srgb(imaging.lay_on_white(picture), profile)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it all the same


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    # Phones' photos are often in Display P3; dropping the profile alone would make them pale.
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a profile that does not fit its picture: the colours as they are
    return converted or picture


def _encode_photo(picture: Image.Image) -> NewPhoto:
    pixels = picture.tobytes()
    pixel_hash = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    pixel_hash.update(pixels)
    # Made anew of its pixels: nothing of the old picture's info comes along.
    clean = Image.frombytes("RGB", picture.size, pixels)
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return NewPhoto(pixel_hash.hexdigest(), buffer.getvalue())


def _unidentified_reason(data: bytes) -> PhotoRefusal:
    head = data[:1024]
    if (
        any(head[offset:].startswith(magic) for offset, magic in _OTHER_FORMAT_MAGICS)
        or b"<svg" in head.lower()
    ):
        return PhotoRefusal.OTHER_FORMAT
    # Pillow says "cannot identify" also of a picture whose header is cut short.
    is_our_format = head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or head[8:12] == b"WEBP"
    return (
        PhotoRefusal.DAMAGED
        if is_our_format or head[4:11] in (b"ftyphei", b"ftypmif", b"ftyphev")
        else PhotoRefusal.NOT_A_PICTURE
    )
