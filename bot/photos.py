"""The one guarded place where a person's picture is decoded: in a child process, with limits, once.

The sentences of refused photos live here, beside the rule that each one explains. A child imports this
module and nothing else of ours that is heavy.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection

import pi_heif
from PIL import Image, ImageCms, UnidentifiedImageError

from bot.domain import NewPhoto
from bot.errors import UserError
from bot.replies import Upload

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 20 * 2**20  # what Telegram lets a bot download
MAX_PIXELS = 50_000_000  # a 50 MP PNG takes about 600 MB to decode
MIN_SIDE_PX = 256
MAX_SIDE_PX = 1536  # of what is kept: three times what Stable Diffusion 1.5 looks at
JPEG_QUALITY = 95
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")  # phones' MPO opens as JPEG

CHILDREN = 2  # at most two decodes at once, each within MEMORY_BYTES
MEMORY_BYTES = 2**30
TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0  # a cold disk reads Python and Pillow first

NOT_A_PICTURE = "This file is not a picture. Send a photo as JPEG, PNG, WebP or HEIC."
OTHER_FORMAT = "I cannot read this kind of picture. Send it as JPEG, PNG, WebP or HEIC."
BROKEN = "This picture is damaged or incomplete. Please send it again, or choose another one."
TOO_MANY_BYTES = "This file is too big: 20 MB is the most. Send it as a photo instead of a file."
TOO_MANY_PIXELS = "This picture has too many pixels: 50 million is the most. Please make it smaller."
TOO_SMALL = (
    f"This picture is too small or too narrow: I need at least {MIN_SIDE_PX} pixels on the short side. "
    "Send the original, as a file if you can."
)
TOOK_TOO_LONG = "I could not read this picture in time. Please send it again, or choose another one."

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: How pictures begin that are pictures, but not of our formats: (offset, bytes).
_OTHER_PICTURES = (
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


class PhotoGate:
    """Lets photos in: decodes each in a child process that may die without harm.

    Each child is a pool of one, so that a photo that kills its child takes no neighbour with it.
    """

    def __init__(self, children: int = CHILDREN, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(children)
        self._idle: list[ProcessPoolExecutor] = []

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo upright, in RGB and without metadata; UserError says why it cannot be used."""
        if upload.data is None or len(upload.data) > MAX_FILE_BYTES:
            raise UserError(TOO_MANY_BYTES)
        async with self._free:
            child = self._idle.pop() if self._idle else await _started()
            try:
                decoded = asyncio.get_running_loop().run_in_executor(child, decode, upload.data)
                photo = await asyncio.wait_for(decoded, self._timeout_s)
            except UserError:
                self._idle.append(child)
                raise
            except (BrokenProcessPool, TimeoutError) as error:
                log.warning("a photo of %d bytes ended its child: %s", len(upload.data), type(error).__name__)
                _kill(child)
                raise UserError(TOOK_TOO_LONG if isinstance(error, TimeoutError) else BROKEN) from error
            except BaseException:  # cancelled while the child goes on: the next photo must not wait for it
                _kill(child)
                raise
            self._idle.append(child)
            return photo

    async def close(self) -> None:
        """End the children."""
        idle, self._idle = self._idle, []
        for child in idle:
            await asyncio.to_thread(child.shutdown)


async def _started() -> ProcessPoolExecutor:
    # Starting is not part of a photo's time: a cold machine needs seconds for it.
    child = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _limit_this_process, (MEMORY_BYTES,))
    try:
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(child, os.getpid), START_TIMEOUT_S)
    except BaseException:
        _kill(child)
        raise
    return child


def _kill(child: ProcessPoolExecutor) -> None:
    # Python 3.14 has kill_workers() for this; before, the executor's own table is the only way in.
    for process in list((child._processes or {}).values()):
        process.kill()
    child.shutdown(wait=False, cancel_futures=True)


def _limit_this_process(memory_bytes: int) -> None:
    """Set a child up: bounded memory, deaf to Ctrl-C (the parent ends it), and never an orphan."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import resource  # there is none on Windows
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _end_with_parent() -> None:
    # A child of a pool holds both ends of its queue, so a parent that was killed never shows as its end.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)


def decode(data: bytes) -> NewPhoto:
    """Decode, turn, shrink and re-encode one picture; UserError says why not. Runs in a child."""
    # One try from open to save: on hostile bytes Pillow raises nearly every kind of error at nearly every
    # step, not only UnidentifiedImageError at the first.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, which is dropped; many pixels, which we check
            return _decode(data)
    except UserError:
        raise
    except (Image.DecompressionBombError, MemoryError):
        raise UserError(TOO_MANY_PIXELS) from None
    except UnidentifiedImageError:
        raise UserError(_unidentified(data)) from None
    except Exception:
        raise UserError(BROKEN) from None


def _decode(data: bytes) -> NewPhoto:
    pi_heif.register_heif_opener(thumbnails=False)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image.size)
        turn = _TURNS.get(_orientation(image))
        # JPEG can decode at a half, a quarter or an eighth: far less time and memory for large photos.
        image.draft("RGB", (MAX_SIDE_PX, MAX_SIDE_PX))
        image.load()  # animations: their first frame
        picture = _rgb(image)
    if turn is not None:
        picture = picture.transpose(turn)
    return _new_photo(picture)


def _check_size(size_px: tuple[int, int]) -> None:
    width_px, height_px = size_px
    if width_px * height_px > MAX_PIXELS:
        raise UserError(TOO_MANY_PIXELS)
    # A long panorama loses its short side when it is made to fit, so that is what counts.
    shrink = min(1.0, MAX_SIDE_PX / max(size_px))
    if min(size_px) * shrink < MIN_SIDE_PX:
        raise UserError(TOO_SMALL)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a photo with broken metadata is still a photo
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Give the picture in sRGB, at most MAX_SIDE_PX long, transparency on white."""
    profile = image.info.get("icc_profile")
    picture = image
    if picture.mode.startswith("I"):  # 16-bit grey; convert("L") would cut at 255 instead of scaling
        picture = picture.convert("I").point([value >> 8 for value in range(65536)], "L")
    elif picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    # reducing_gap: shrink by whole numbers first, which needs neither the time nor the memory.
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return _srgb(picture, profile).convert("RGB")


def _srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    # Phones' photos are often in Display P3; dropping the profile alone would make them pale.
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        turned = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a profile that does not fit its picture: the colours as they are
    return turned or picture


def _new_photo(picture: Image.Image) -> NewPhoto:
    pixels = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    pixels.update(picture.tobytes())
    clean = Image.new("RGB", picture.size)  # nothing of the old picture's info comes along
    clean.paste(picture)
    file = io.BytesIO()
    clean.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return NewPhoto(pixels.hexdigest(), file.getvalue())


def _unidentified(data: bytes) -> str:
    head = data[:1024]
    if any(head[offset:].startswith(magic) for offset, magic in _OTHER_PICTURES) or b"<svg" in head.lower():
        return OTHER_FORMAT
    # Pillow says "cannot identify" also of a picture whose header is cut short.
    ours = head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or head[8:12] == b"WEBP"
    return BROKEN if ours or head[4:11] in (b"ftyphei", b"ftypmif", b"ftyphev") else NOT_A_PICTURE
