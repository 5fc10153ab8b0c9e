"""The contact sheet remembers the small pictures of photos, for as long as it may."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from bot.media import contact_sheet
from bot.media.contact_sheet import MAX_TILES, Tiles, compose


def photo(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256, 0)).save(file, "PNG")
    return file.getvalue()


def test_a_sheet_of_remembered_tiles_is_the_same() -> None:
    tiles, photos = Tiles(), [photo(1), photo(200)]
    first = compose(photos, tiles=tiles)
    assert compose(photos, tiles=tiles) == compose(photos) == first


def test_a_tile_is_made_once() -> None:
    tiles = Tiles()
    assert tiles.of(photo(1)) is tiles.of(photo(1))
    assert tiles.of(photo(1)) is not tiles.of(photo(2))


def test_a_forgotten_photo_has_no_tile() -> None:
    tiles = Tiles()
    made = tiles.of(photo(1))
    tiles.forget([hashlib.sha256(photo(1)).hexdigest(), "of another"])
    assert tiles.of(photo(1)) is not made


def test_the_tiles_that_were_shown_longest_ago_make_room() -> None:
    tiles = Tiles()
    old, used = tiles.of(photo(0)), tiles.of(photo(1))
    for number in range(2, MAX_TILES):
        tiles.of(photo(number))
    assert tiles.of(photo(1)) is used
    tiles.of(photo(MAX_TILES))
    assert tiles.of(photo(1)) is used
    assert tiles.of(photo(0)) is not old


def test_a_tile_is_as_large_as_it_says() -> None:
    assert Tiles().of(photo(1)).size == (contact_sheet.TILE_PX, contact_sheet.TILE_PX)
