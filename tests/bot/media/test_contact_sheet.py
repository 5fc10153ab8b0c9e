"""The contact sheet remembers the small pictures of photos, for as long as it may."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from bot.core.photos import StoredPhoto
from bot.media.contact_sheet import MAX_THUMBNAILS, ThumbnailCache, compose


def photo(number: int) -> StoredPhoto:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256, 0)).save(file, "PNG")
    return StoredPhoto.from_data(file.getvalue())


def is_near(colour: object, expected: tuple[int, int, int]) -> bool:
    assert isinstance(colour, tuple)
    return max(abs(one - other) for one, other in zip(colour, expected, strict=True)) < 12


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
    tiles.forget([photo(1).data_sha256, "of another"])
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


@pytest.mark.parametrize("size", [(64, 64), (640, 480), (300, 1200)])
def test_a_tile_is_square_whatever_the_photo_s_shape_and_fills_its_place_on_the_sheet(
    size: tuple[int, int],
) -> None:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 0, 0)).save(file, "PNG")
    shown = StoredPhoto.from_data(file.getvalue())
    assert ThumbnailCache().get(shown).size == (192, 192)
    with Image.open(io.BytesIO(compose([shown] * 2))) as sheet:
        assert sheet.size == (2 * 192 + 3 * 6, 192 + 2 * 6)
        corners = [(6 + 182, 6 + 182), (6 + 198 + 182, 6 + 182)]  # within each tile, where JPEG blurs nothing
        assert all(is_near(sheet.getpixel(corner), (200, 0, 0)) for corner in corners)
