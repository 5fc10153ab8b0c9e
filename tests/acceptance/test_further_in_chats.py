"""`/more` and `/replace` on Telegram, Discord and the console: new photos, kept ones, one swapped."""

from __future__ import annotations

from pathlib import Path

from bot.backends.fake import FakeBackend
from gpu_worker.protocol import Train
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import photos, shown
from tests.acceptance.telegram_stage import PHOTOS, trained
from tests.acceptance.test_console_pictures import console
from tests.integration.engine_room import png
from tests.integration.studio_desk import album


async def test_on_telegram_five_new_photos_train_the_same_code_further_also_after_a_restart(
    tmp_path: Path,
) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        code = await trained(stage.anna)
        await stage.anna.says("/codes")
        listed = await stage.anna.hears("ready · just now")
        await stage.anna.presses(listed, f"{code[:4]} {code[4:]}")
        card = await stage.anna.hears("trigger: sks person")
        await stage.anna.presses(card, "Train further")
        await stage.anna.hears("need five again")
        await stage.stop()
        await stage.start()
        await stage.anna.sends_photos(PHOTOS[1:6])
        await stage.anna.hears("for 300 more steps")
        await stage.anna.hears("more steps, and your photos are deleted")
        request = stage.card.requests[-1]
        assert isinstance(request, Train)
        assert request.start_from is not None


async def test_on_discord_kept_photos_begin_at_once(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        card = shown(await stage.anna.slash(stage.channel, "settings"))
        await stage.anna.click(card, label="Keep photos 7 days")
        code = await stage.trained()
        await stage.anna.slash(stage.channel, "more", code=code, steps=200)
        await stage.work()
        assert "and I keep your photos" in stage.dms()[-1].content
        asked = shown(await stage.anna.slash(stage.channel, "replace", code=code, photo=2))
        assert "takes the place of number 2" in asked.content
        await stage.album(photos(1, first=8))
        await stage.work()
        assert "has learnt for 3 more steps" in stage.dms()[-1].content


async def test_at_the_console_one_photo_is_swapped(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number, photo in enumerate(album(1, 2, 3, 4, 5, 6), 1):
        (folder / f"{number}.png").write_bytes(photo.data or b"")
    (folder / "6.png").rename(tmp_path / "other.png")
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        await person.types("/settings", "Size: square(?s:.*)Keep photos 7 days\n")
        await person.presses("Keep photos 7 days", "until they are seven days old")
        ready = await person.types(str(folder), r"\d{4} \d{4} is ready")
        await person.types(f"/replace {ready[:9]} 4", "takes the place of number 4")
        await person.types(str(tmp_path / "other.png"), f"{ready[:9]} has learnt for 3 more steps")
