"""The first minute: what makes a good set is shown before anything is asked for."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from bot.core.accounts import ChatAddress, Identity, Platform
from bot.media.contact_sheet import LABEL_FONT_PX, TILE_PX
from bot.texts.language import languages, use_language
from bot.texts.photo_sets import good_set_reasons
from tests.support.services import ANNA, ANNAS, Desk, open_desk

CARLA = Identity(Platform.TELEGRAM, "9")
CARLAS = ChatAddress(Platform.TELEGRAM, "9", "9")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_the_start_shows_five_examples_and_asks_for_consent(desk: Desk) -> None:
    reply = await desk.studio.start_chat(CARLA, CARLAS)
    [path] = reply.pictures
    assert isinstance(path, Path)
    with Image.open(path) as picture:
        assert picture.width > 5 * TILE_PX > 4 * picture.height
    assert [each.action for each in reply.buttons] == ["consent"]
    assert len(reply.text) < 1024, "it is the picture's caption"
    agreed = await desk.studio.handle_button(CARLA, CARLAS, "consent")
    assert agreed.pictures == reply.pictures, "the message keeps its picture"
    assert "Send me five photos" in agreed.text


async def test_the_picture_is_drawn_once(desk: Desk) -> None:
    [first] = (await desk.studio.start_chat(ANNA, ANNAS)).pictures
    assert isinstance(first, Path)
    drawn_at = first.stat().st_mtime_ns
    [second] = (await desk.studio.start_chat(CARLA, CARLAS)).pictures
    assert second == first
    assert first.stat().st_mtime_ns == drawn_at
    assert len(list(first.parent.iterdir())) == 1


async def test_the_start_has_words_where_the_picture_cannot_be_kept(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    (desk.files.root / "examples").rmdir()
    reply = await desk.studio.start_chat(CARLA, CARLAS)
    assert reply.pictures == ()
    assert "five photos" in reply.text
    assert "the examples could not be kept" in caplog.text


@pytest.mark.parametrize("language", languages())
def test_each_example_has_a_reason_that_fits_beneath_it(language: str) -> None:
    with use_language(language):
        reasons = good_set_reasons()
    assert len(reasons) == len(set(reasons)) == 5
    font = ImageFont.load_default(LABEL_FONT_PX)
    assert all(0 < font.getlength(each) <= TILE_PX for each in reasons)


def test_the_examples_are_five_different_pictures_of_one_size() -> None:
    import drawn

    photos = drawn.good_set(64)
    assert len(set(photos)) == 5
    for photo in photos:
        with Image.open(io.BytesIO(photo)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (64, 64))
    assert drawn.good_set(64) == photos
