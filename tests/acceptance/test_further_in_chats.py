"""`/more` and `/replace` on Telegram, Discord and the console: new photos, kept ones, one swapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.core.loras import format_code
from bot.jobs.backends.fake import FakeBackend
from gpu_worker.protocol import TrainRequest
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import photos, shown
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import PHOTOS, trained
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png
from tests.support.services import album


@pytest.mark.covers(
    "telegram",
    "/more",
    "/replace",
    "[more:*]",
    "[set:*:anew]",
    "[settings:*:photos=*]",
    "restart",
)
async def test_five_new_photos_continue_a_code_after_a_restart_on_telegram(
    tmp_path: Path,
) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        anna = stage.anna
        code = await trained(anna)
        await anna.says("/codes")
        card = await anna.hears("ready · just now")
        await anna.presses(card, f"{code[:4]} {code[4:]}")
        await until(lambda: "trigger: sks person" in card.text)
        await anna.presses(card, "Train further")
        wanted = await anna.hears("need five again")
        await anna.presses(wanted, f"Not for {code[:4]} {code[4:]}")
        await until(lambda: "They show: person" in wanted.text)
        await anna.says(f"/more {code} 200")
        await anna.hears("for 200 more steps")
        await stage.stop()
        await stage.start()
        await anna.sends_photos(PHOTOS[1:6])
        await anna.hears("for 200 more steps")
        await anna.hears("more steps, and your photos have been deleted")
        request = stage.card.requests[-1]
        assert isinstance(request, TrainRequest)
        assert request.initial_lora is not None
        await anna.says(f"/replace {code} 4")
        await anna.hears("are deleted, as I promised")
        await anna.says("/settings")
        settings = await anna.hears("Photos: deleted when the training ends")
        await anna.presses(settings, "Photos kept 7 days")
        await until(lambda: "until they are 7 days old" in settings.text)


@pytest.mark.covers(
    "discord",
    "/more",
    "/more code",
    "/more steps",
    "/replace",
    "/replace code",
    "/replace photo",
    "[settings:*:photos=*]",
)
async def test_kept_photos_train_at_once_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        card = shown(await stage.anna.slash(stage.channel, "settings"))
        await stage.anna.click(card, label="Photos kept 7 days")
        code = await stage.trains()
        await stage.anna.slash(stage.channel, "more", code=code, steps=200)
        await stage.work()
        assert "and I keep your photos" in stage.dms()[-1].content
        asked = shown(await stage.anna.slash(stage.channel, "replace", code=code, photo=2))
        assert "replaces number 2" in asked.content
        await stage.album(photos(1, first=8))
        await stage.work()
        assert "has trained for 3 more steps" in stage.dms()[-1].content


@pytest.mark.covers("discord", "[more:*]", "[set:*:anew]", "restart")
async def test_photos_for_a_code_may_make_a_new_one_instead_after_a_restart_on_discord(
    tmp_path: Path,
) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        code = await stage.trained()
        listed = shown(await stage.anna.slash(stage.channel, "codes"))
        card = shown(await stage.anna.click(listed, label=format_code(code)))
        wanted = (await stage.anna.click(card, label="Train further")).followups[0].message
        assert f"These photos will train {format_code(code)}" in wanted.content
        await stage.restart()
        left = shown(await stage.anna.click(wanted, label=f"Not for {format_code(code)}"))
        assert (left.id, "They show: person" in left.content) == (wanted.id, True)
        await stage.album(photos(5, first=6))
        await stage.work()
        ready = stage.dms()[-1].content
        assert "is ready," in ready
        assert format_code(code) not in ready


@pytest.mark.covers("console", "/more", "/replace", "[more:*]", "[set:*:anew]", "[settings:*:photos=*]")
async def test_kept_photos_train_at_once_at_the_console_and_one_is_swapped(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number, photo in enumerate(album(1, 2, 3, 4, 5, 6), 1):
        (folder / f"{number}.png").write_bytes(photo.data or b"")
    (folder / "6.png").rename(tmp_path / "other.png")
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        await person.types("/settings", "Size: square(?s:.*)Photos kept 7 days\n")
        await person.presses("Photos kept 7 days", "until they are 7 days old")
        code = (await person.types(str(folder), r"\d{4} \d{4} is ready"))[:9]
        learnt = f"{code} has trained for 3 more steps"
        await person.types("/codes", rf"\] {code}[^\n]*\n")
        await person.presses(code, "trigger: sks person(?s:.*)All my codes\n")
        await person.presses("Train further", f"I am training {code} for 300 more steps(?s:.*){learnt}")
        await person.types(f"/more {code} 200", f"I am training {code} for 200 more steps(?s:.*){learnt}")
        await person.types(f"/replace {code} 4", "replaces number 4(?s:.*)Start over\n")
        await person.presses(f"Not for {code}", "They show: person")
        await person.types(f"/replace {code} 4", "replaces number 4")
        await person.types(str(tmp_path / "other.png"), learnt)
