"""On Discord: a set of five with one bad photo ends in a better set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.discord_stage import PhotoFile, Stage, coached, labels, on_stage, photos, shown
from tests.support.color_analyzer import NOBODY, TWO_PEOPLE, ColourAnalyzer, painted


def bad(colour: str) -> PhotoFile:
    """A painted photo as a file."""
    upload = painted(colour)
    return upload.name, upload.data or b""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path, new_studio=coached(ColourAnalyzer())) as each:
        yield each


@pytest.mark.covers("discord", "photo", "[set:*:drop=*]", "restart")
async def test_a_set_with_a_bad_photo_ends_in_a_better_one(stage: Stage) -> None:
    await stage.album([*photos(2), bad(TWO_PEOPLE), *photos(2, first=3)])
    [card] = stage.dms()
    assert "Photo 3 shows 2 people" in card.content
    assert [each.filename for each in card.attachments] == ["photos.jpg"]
    assert await stage.held() == 5
    await stage.restart()
    await stage.anna_alone.click(card, label="✕ 3")
    [card] = stage.dms()
    assert "4 of 5" in card.content
    assert "people" not in card.content
    await stage.album(photos(1, first=5))
    assert "That is all five" in stage.dms()[0].content
    await stage.work()
    assert await stage.bot.ledger.loras.get_by_code(await stage.code()) is not None


async def test_the_form_shows_the_problem_and_insisting_starts_the_training(stage: Stage) -> None:
    card = shown(await stage.form([*photos(4), bad(NOBODY)]))
    assert "no clear face in photo 5" in card.content
    assert "Use them anyway" in labels(card)
    await stage.anna.click(card, label="Use them anyway")
    assert await stage.held() == 0
    await stage.code()
