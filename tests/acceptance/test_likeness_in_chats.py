"""How alike a Lora became, and the most alike of four pictures, on Telegram, Discord and the console."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.jobs.backends.fake import FakeBackend
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import photos, said, shown
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import trains
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png
from tests.support.services import album

TOLD = "The best match of 4: likeness 90%. The others: 40%, 20%, 50%."


def measured(card: FakeBackend) -> FakeBackend:
    """Let a card's worker say who is in pictures."""
    card.likeness_by_step, card.picture_likenesses, card.picture = {2: 0.9}, [0.4, 0.2, 0.9, 0.5], png()
    return card


@pytest.mark.covers("telegram", "[likeness:*]", "--best")
async def test_likeness_is_told_and_used_on_telegram(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        measured(stage.card)
        code = await trains(stage.anna)
        await stage.anna.says("/codes")
        card = await stage.anna.hears("ready · just now")
        await stage.anna.presses(card, f"{code[:4]} {code[4:]}")
        await until(lambda: "Likeness 90%" in card.text)
        await stage.anna.presses(card, "Likeness")
        told = await stage.anna.hears("measured on 1 picture")
        assert told.photos
        await stage.anna.says(f"/generate {code} a boat --best 1-of-4")
        result = await stage.next_result(0)
        await until(lambda: TOLD in result.text)


@pytest.mark.covers("discord", "[likeness:*]", "/generate best")
async def test_likeness_is_told_and_used_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        measured(stage.backend)
        await stage.form(photos(5))
        await stage.work()
        assert "likeness is 90%" in stage.dms()[-1].content
        code = await stage.code()
        listed = shown(await stage.anna.slash(stage.channel, "codes"))
        card = shown(await stage.anna.click(listed, label=f"{code[:4]} {code[4:]}"))
        assert "Likeness 90%" in card.content
        assert "measured on 1 picture" in said(await stage.anna.click(card, label="Likeness"))
        result = await stage.drawn(code, best=4)
        assert TOLD in result.content
        assert len(result.attachments) == 1


@pytest.mark.covers("console", "[likeness:*]", "--best")
async def test_likeness_is_told_and_used_at_the_console(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number, photo in enumerate(album(1, 2, 3, 4, 5), 1):
        (folder / f"{number}.png").write_bytes(photo.data or b"")
    async with console(tmp_path / "data", measured(FakeBackend())) as person:
        ready = await person.types(str(folder), r"\d{4} \d{4} is ready")
        code = ready[:9]
        await person.types("/codes", r"Try: /generate[^\n]*\n  \[1\] [^\n]*\n")
        await person.presses(code, r"Likeness 90%(?s:.*)All my codes\n")
        await person.presses("Likeness", r"measured on 1 picture(?s:.*)picture: ")
        await person.types(f"/generate {code} a boat --best 4", TOLD.replace(".", r"\."))
