"""On Telegram: a set of five with one bad photo ends in a better set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import Stage, on_stage
from tests.support.color_analyzer import NOBODY, TWO_PEOPLE, ColourAnalyzer, painted
from tests.support.services import album

GOOD = [photo.data or b"" for photo in album(1, 2, 3, 4, 5)]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path, eye=ColourAnalyzer()) as each:
        yield each


@pytest.mark.covers("telegram", "[set:*:drop=*]", "restart")
async def test_a_set_with_a_bad_photo_ends_in_a_better_one(stage: Stage) -> None:
    anna = stage.anna
    await anna.sends_photos([*GOOD[:2], painted(TWO_PEOPLE).data or b"", *GOOD[2:4]])
    card = await anna.hears("Photo 3 shows 2 people")
    assert card.photos[0].startswith(b"\xff\xd8"), "a contact sheet"
    assert not stage.card.requests, "nothing has begun"
    await stage.stop()
    await stage.start()
    await anna.presses(card, "✕ 3")
    await until(lambda: "4 of 5" in card.text and "people" not in card.text)
    await anna.sends_photos(GOOD[4:5])
    await anna.hears("is ready,")
    assert len(stage.card.requests) == 1


@pytest.mark.covers("telegram", "[first5:*]", "by somebody else")
async def test_a_person_who_insists_gets_the_training(stage: Stage) -> None:
    await stage.anna.sends_photos([*GOOD[:4], painted(NOBODY).data or b""])
    card = await stage.anna.hears("no clear face in photo 5")
    await stage.bert.sends_action(card, next(a for _, a in card.buttons if a.startswith("first5")))
    assert not stage.card.requests, "it is not Bert's"
    await stage.anna.presses(card, "Use them anyway")
    await stage.anna.hears("is ready,")
