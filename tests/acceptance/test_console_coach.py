"""At the console: a set of five with one bad photo ends in a better set."""

from __future__ import annotations

from pathlib import Path

from bot.jobs.backends.fake import FakeBackend
from tests.acceptance.test_console_pictures import console
from tests.support.color_analyzer import SOMEBODY_ELSE, ColourAnalyzer, painted
from tests.support.engine import png
from tests.support.services import album


async def test_a_set_with_a_bad_photo_ends_in_a_better_one(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    good = album(1, 2, 3, 4, 5)
    for number, photo in enumerate([*good[:4], painted(SOMEBODY_ELSE)], 1):
        (folder / f"{number}.png").write_bytes(photo.data or b"")
    (tmp_path / "better.png").write_bytes(good[4].data or b"")
    async with console(tmp_path / "data", FakeBackend(picture=png()), ColourAnalyzer()) as person:
        await person.types(str(folder), r"Photo 5 seems to show someone else[^\n]*\n[^\n]*Start over\n")
        await person.presses("✕ 5", "4 of 5")
        await person.types(str(tmp_path / "better.png"), r"\d{4} \d{4} is ready")
