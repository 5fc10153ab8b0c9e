"""The contact sheet: the photos of a set, small and numbered, as one picture."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache
from PIL import Image, ImageDraw, ImageFont, ImageOps

from bot.core.photos import StoredPhoto

TILE_PX = 192
COLUMNS = 5
_GAP_PX, _BADGE_PX, _FRAME_PX, _LABEL_PX = 6, 36, 6, 26
LABEL_FONT_PX = 17
#: 110 kB each; a set that grows is shown with every photo, and decoding them anew is most of the work.
MAX_THUMBNAILS = 128


@dataclass(frozen=True, slots=True)
class Overlay:
    """A photo's frame, as red, green and blue, and the few words beneath it."""

    colour: tuple[int, int, int]
    label: str


class ThumbnailCache:
    """The thumbnails of the photos that were shown last, by the SHA-256 of their bytes. Thread-safe."""

    def __init__(self) -> None:
        self._thumbnails: LRUCache[str, Image.Image] = LRUCache(MAX_THUMBNAILS)
        self._lock = Lock()

    def get(self, photo: StoredPhoto) -> Image.Image:
        """Return the thumbnail of a photo."""
        with self._lock:
            thumbnail = self._thumbnails.get(photo.data_sha256)
        if thumbnail is None:
            thumbnail = _make_thumbnail(photo.data)
            with self._lock:
                self._thumbnails[photo.data_sha256] = thumbnail
        return thumbnail

    def forget(self, photo_hashes: Iterable[str]) -> None:
        """Forget photos, named by the SHA-256 of their bytes."""
        with self._lock:
            for photo_hash in photo_hashes:
                self._thumbnails.pop(photo_hash, None)


def compose(
    photos: Sequence[StoredPhoto], overlays: Sequence[Overlay] = (), thumbnails: ThumbnailCache | None = None
) -> bytes:
    """Return a JPEG of stored photos, in their order, each with its number from 1 and its mark."""
    thumbnails = thumbnails or ThumbnailCache()
    columns = min(COLUMNS, len(photos))
    rows = -(-len(photos) // COLUMNS)
    pitch_px = TILE_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * pitch_px + _GAP_PX, rows * pitch_px + _GAP_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(22)
    for index, photo in enumerate(photos):
        left, top = (_GAP_PX + number * pitch_px for number in (index % COLUMNS, index // COLUMNS))
        sheet.paste(thumbnails.get(photo), (left, top))
        if index < len(overlays):
            _draw_overlay(draw, (left, top), overlays[index])
        draw.rectangle((left, top, left + _BADGE_PX, top + _BADGE_PX), "black")
        centre = (left + _BADGE_PX / 2, top + _BADGE_PX / 2)
        draw.text(centre, str(index + 1), "white", font, anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _draw_overlay(draw: ImageDraw.ImageDraw, corner: tuple[int, int], overlay: Overlay) -> None:
    left, top = corner
    right, bottom = left + TILE_PX - 1, top + TILE_PX - 1
    draw.rectangle((left, top, right, bottom), outline=overlay.colour, width=_FRAME_PX)
    draw.rectangle((left, bottom - _LABEL_PX, right, bottom), fill=overlay.colour)
    centre = (left + TILE_PX / 2, bottom - _LABEL_PX / 2)
    font = ImageFont.load_default(LABEL_FONT_PX)
    draw.text(centre, overlay.label, _text_colour(overlay.colour), font, anchor="mm")


def _text_colour(colour: tuple[int, int, int]) -> str:
    red, green, blue = colour
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "white"


def _make_thumbnail(photo: bytes) -> Image.Image:
    with Image.open(io.BytesIO(photo)) as image:
        image.draft("RGB", (TILE_PX, TILE_PX))  # JPEG decodes at a fraction of its size: ten photos at once
        return ImageOps.fit(image.convert("RGB"), (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
