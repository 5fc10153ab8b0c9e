"""The contact sheet remembers the small pictures of photos, for as long as it may."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from bot.media import contact_sheet
from bot.media.contact_sheet import MAX_THUMBNAILS, ThumbnailCache, compose


def photo(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256, 0)).save(file, "PNG")
    return file.getvalue()


def test_a_sheet_of_remembered_tiles_is_the_same() -> None:
    tiles, photos = ThumbnailCache(), [photo(1), photo(200)]
    first = compose(photos, thumbnails=tiles)
    assert compose(photos, thumbnails=tiles) == compose(photos) == first


def test_a_tile_is_made_once() -> None:
    tiles = ThumbnailCache()
    assert tiles.get(photo(1)) is tiles.get(photo(1))
    assert tiles.get(photo(1)) is not tiles.get(photo(2))


def test_a_forgotten_photo_has_no_tile() -> None:
    tiles = ThumbnailCache()
    made = tiles.get(photo(1))
    tiles.forget([hashlib.sha256(photo(1)).hexdigest(), "of another"])
    assert tiles.get(photo(1)) is not made


def test_the_tiles_that_were_shown_longest_ago_make_room() -> None:
    tiles = ThumbnailCache()
    old, used = tiles.get(photo(0)), tiles.get(photo(1))
    for number in range(2, MAX_THUMBNAILS):
        tiles.get(photo(number))
    assert tiles.get(photo(1)) is used
    tiles.get(photo(MAX_THUMBNAILS))
    assert tiles.get(photo(1)) is used
    assert tiles.get(photo(0)) is not old


def test_a_tile_is_as_large_as_it_says() -> None:
    assert ThumbnailCache().get(photo(1)).size == (contact_sheet.TILE_PX, contact_sheet.TILE_PX)
