"""Decode a person's picture: upright, in sRGB, small enough and without metadata, or refuse it."""

from __future__ import annotations

import hashlib
import io
import warnings

import pi_heif
from PIL import AvifImagePlugin, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

import imaging
from bot.core.photos import (
    MAX_PHOTO_PIXELS,
    MAX_PHOTO_SIDE_PX,
    MAX_WEB_PIXELS,
    MAX_WHOLE_PIXELS,
    MIN_PHOTO_SIDE_PX,
    NewPhoto,
    PhotoRefusal,
    PhotoRefused,
)
from bot.media.decoding._cicp import Cicp, cicp_profile
from bot.media.decoding._colors import find_profile, to_srgb
from bot.media.decoding._heif import read_hdr
from bot.media.decoding._jpeg import JpegScans
from bot.media.decoding._png import MAX_PROFILE_BYTES
from bot.media.decoding._source import PhotoSource, check_end, read_source, unidentified_reason

_HEIC_LIMIT = (MAX_WHOLE_PIXELS, PhotoRefusal.TOO_MANY_PIXELS_WHOLE)
_WEB_LIMIT = (MAX_WEB_PIXELS, PhotoRefusal.TOO_MANY_PIXELS_WEB)
#: Each scan of a JPEG is a pass over all its pixels, and costs a forger a few bytes. A sound one has 20.
MAX_SCAN_PIXELS = 20 * MAX_WHOLE_PIXELS
JPEG_QUALITY = 95
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")  # phones' MPO opens as JPEG

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


def decode_photo(data: bytes) -> NewPhoto:
    """Decode, turn, shrink and re-encode one picture; PhotoRefused says why not. Runs in a child."""
    # One try from open to save: on hostile bytes Pillow raises nearly every kind of error at nearly every
    # step, not only UnidentifiedImageError at the first.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is dropped
            return _decode_image(read_source(data))
    except PhotoRefused:
        raise
    except MemoryError:
        raise PhotoRefused(PhotoRefusal.TOO_MANY_PIXELS) from None
    except UnidentifiedImageError:
        raise PhotoRefused(unidentified_reason(data)) from None
    except Exception:
        raise PhotoRefused(PhotoRefusal.DAMAGED) from None


def _decode_image(source: PhotoSource) -> NewPhoto:
    _set_up_pillow()
    with Image.open(io.BytesIO(source.data), formats=FORMATS) as image:
        max_pixels, refusal = _find_limit(image, source.scans)
        _check_size(image.size, max_pixels, refusal)
        if source.scans is not None and source.scans.count * image.width * image.height > MAX_SCAN_PIXELS:
            raise PhotoRefused(PhotoRefusal.DAMAGED)
        try:
            picture = _load_picture(image, source)
        except MemoryError:
            raise PhotoRefused(refusal) from None
    return _encode_photo(picture)


def _set_up_pillow() -> None:
    pi_heif.register_heif_opener(thumbnails=False)
    Image.MAX_IMAGE_PIXELS = None  # it depends on the format
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE_BYTES  # of compressed chunks only the profile comes so far
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each takes memory


def _find_limit(image: Image.Image, scans: JpegScans | None) -> tuple[int, PhotoRefusal]:
    """Return how many pixels a picture may have, and the refusal of more."""
    if scans is None:
        return _HEIC_LIMIT if image.format == "HEIF" else _WEB_LIMIT
    if scans.is_held_whole:
        return MAX_WHOLE_PIXELS, PhotoRefusal.TOO_MANY_PIXELS_WHOLE
    return MAX_PHOTO_PIXELS, PhotoRefusal.TOO_MANY_PIXELS


def _check_size(size_px: tuple[int, int], max_pixels: int, refusal: PhotoRefusal) -> None:
    width_px, height_px = size_px
    if width_px * height_px > max_pixels:
        raise PhotoRefused(refusal)
    # A long panorama loses its short side when it is made to fit, so that is what counts.
    scale = min(1.0, MAX_PHOTO_SIDE_PX / max(size_px))
    if min(size_px) * scale < MIN_PHOTO_SIDE_PX:
        raise PhotoRefused(PhotoRefusal.TOO_SMALL)


def _load_picture(image: ImageFile.ImageFile, source: PhotoSource) -> Image.Image:
    transposition = _TRANSPOSITIONS.get(_orientation(image))
    cicp = source.cicp(image)
    picture = _load_hdr(image, source.data, cicp)
    if picture is not None:
        return picture if transposition is None else picture.transpose(transposition)
    # JPEG can decode at a half, a quarter or an eighth: far less time and memory for large photos.
    image.draft("RGB", (MAX_PHOTO_SIDE_PX, MAX_PHOTO_SIDE_PX))
    _load_pixels(image, source.is_cut)
    picture = _to_rgb(image, find_profile(image, cicp))
    return picture if transposition is None else picture.transpose(transposition)


def _load_hdr(image: Image.Image, data: bytes, cicp: Cicp | None) -> Image.Image | None:
    """Return a HEIC of an HDR camera in sRGB; None for any other picture."""
    is_hdr = image.format == "HEIF" and cicp is not None and cicp.is_hdr
    if not is_hdr or cicp is None or image.info.get("icc_profile"):
        return None
    picture = read_hdr(data, cicp, MAX_PHOTO_SIDE_PX)
    return None if picture is None else to_srgb(picture, cicp_profile(cicp.without_hdr()))


def _load_pixels(image: ImageFile.ImageFile, is_cut: bool) -> None:
    """Decode a picture, of animations the first frame. Raise PhotoRefused when it lacks many rows."""
    ImageFile.LOAD_TRUNCATED_IMAGES = is_cut
    try:
        image.load()
    except OSError:
        # At a fault in its data, as of the checksum at the end, a PNG keeps the rows before it.
        if image.format != "PNG" or image.tile or "interlace" in image.info:
            raise
        check_end(image)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    if is_cut:
        check_end(image)


def _orientation(image: Image.Image) -> int:
    # Not `image.getexif()`: it also reads XMP, which browsers and chats do not turn a photo by.
    try:
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION_TAG, 1))
    except Exception:  # a photo with broken metadata is still a photo
        return 1


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in sRGB, at most MAX_PHOTO_SIDE_PX long, transparency on white."""
    picture = imaging.to_eight_bits(image)
    if picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode == "1":  # which could not be shrunk smoothly
        picture = picture.convert("L")
    picture = to_srgb(imaging.lay_on_white(_shrink(picture)), profile)
    return picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it all the same


def _shrink(picture: Image.Image) -> Image.Image:
    scale = MAX_PHOTO_SIDE_PX / max(picture.size)
    if scale >= 1:
        return picture
    # Not `thumbnail()`: it changes the opened picture, and pi-heif decodes one of several again over that.
    # reducing_gap: shrink by whole numbers first, which needs neither the time nor the memory.
    width_px, height_px = (round(scale * side_px) for side_px in picture.size)
    return picture.resize((width_px, height_px), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _encode_photo(picture: Image.Image) -> NewPhoto:
    pixels = picture.tobytes()
    pixel_hash = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    pixel_hash.update(pixels)
    # Made anew of its pixels: nothing of the old picture's info comes along.
    clean = Image.frombytes("RGB", picture.size, pixels)
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return NewPhoto(pixel_hash.hexdigest(), buffer.getvalue())
