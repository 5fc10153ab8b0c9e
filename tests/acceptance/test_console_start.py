"""At the console: the first minute."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from bot.jobs.backends.fake import FakeBackend
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png


async def test_start_shows_five_examples(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        told = await person.types("/start", r"paths of five photos(?s:.*)  picture: \S+\n")
    assert "I agree" not in told, "whoever sits here runs this machine"
    with Image.open(told.rpartition("picture: ")[2].strip()) as picture:
        assert picture.width > 4 * picture.height
