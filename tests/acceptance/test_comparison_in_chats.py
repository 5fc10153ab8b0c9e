"""`/compare` on Telegram, Discord and the console: one prompt at three strengths, as one picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bot.jobs.backends.fake import FakeBackend
from gpu_worker.protocol import GenerateRequest
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import trains
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png
from tests.support.services import album

HINT = "The numbers are strengths"


def check_request(card: FakeBackend, prompt: str) -> None:
    """Check what the card was asked for last."""
    request = card.requests[-1]
    assert isinstance(request, GenerateRequest)
    assert request.strengths == (0.6, 0.8, 1.0)
    assert prompt in request.prompt


@pytest.mark.covers("telegram", "/compare")
async def test_strengths_stand_side_by_side_on_telegram(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        stage.card.picture = png()
        code = await trains(stage.anna)
        await stage.anna.says(f"/compare {code} a boat")
        result = await stage.next_result(0)
        await until(lambda: HINT in result.text)
        assert len(result.photos) == 1
        check_request(stage.card, "a boat")
        await stage.anna.presses(result, "Again")
        await until(lambda: len(stage.card.requests) == 3)
        check_request(stage.card, "a boat")
        await stage.anna.says("/compare 12")
        await stage.anna.hears("eight digits")


@pytest.mark.covers("discord", "/compare", "/compare code", "/compare prompt")
async def test_strengths_stand_side_by_side_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        stage.backend.picture = png()
        code = await stage.trains()
        await stage.anna.slash(stage.channel, "compare", code=code, prompt="")
        await stage.work()
        result = stage.dms()[-1]
        assert HINT in result.content
        assert len(result.attachments) == 1
        check_request(stage.backend, "close-up")
        await stage.anna.slash(stage.channel, "compare", code=code, prompt="a boat")
        await stage.work()
        check_request(stage.backend, "a boat")


@pytest.mark.covers("console", "/compare")
async def test_strengths_stand_side_by_side_at_the_console(tmp_path: Path) -> None:
    folder, card = tmp_path / "album", FakeBackend(picture=png())
    folder.mkdir()
    for number, photo in enumerate(album(1, 2, 3, 4, 5), 1):
        (folder / f"{number}.png").write_bytes(photo.data or b"")
    async with console(tmp_path / "data", card) as person:
        code = (await person.types(str(folder), r"\d{4} \d{4} is ready"))[:9]
        await person.types(f"/compare {code} a boat --seed 7", HINT)
        check_request(card, "a boat")
        (file,) = (tmp_path / "data" / "pictures").glob("*.png")
        with Image.open(file) as sheet:
            assert sheet.width == 3 * 64
            assert sheet.height > 64
