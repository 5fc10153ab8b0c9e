"""`/settings` on Telegram, Discord and the console."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.jobs.backends.fake import FakeBackend
from bot.texts import translate
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import shown, text_of
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import GROUP, trained
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png


@pytest.mark.covers(
    "telegram",
    "/settings",
    "[settings:*:size=*]",
    "[settings:*:style]",
    "[settings:*:style=*]",
    "[settings:*:style=]",
    "restart",
)
async def test_settings_are_drawn_with_after_a_restart_on_telegram(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        code = await trained(stage.anna)
        await stage.anna.says("/settings")
        card = await stage.anna.hears("Size: square")
        await stage.stop()
        await stage.start()
        await stage.anna.presses(card, "Portrait")
        await until(lambda: "Size: portrait" in card.text)
        await stage.anna.presses(card, "Style")
        await until(lambda: "Oil painting" in dict(card.buttons))
        await stage.anna.presses(card, "Oil painting")
        await until(lambda: "Style: Oil painting" in card.text)
        await stage.anna.says(f"/generate {code} a boat")
        await stage.next_result(0)
        assert stage.drawings[-1].shape == "portrait"
        assert stage.drawings[-1].prompt.startswith("oil painting of")
        await stage.anna.presses(card, "Style: Oil painting")
        await until(lambda: "No style" in dict(card.buttons))
        await stage.anna.presses(card, "No style")
        await until(lambda: "Style: none" in card.text)


@pytest.mark.covers("telegram", "[settings:*:notices=*]", "by somebody else", "group")
async def test_settings_in_a_telegram_group_are_changed_by_their_person_alone(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        await stage.anna.says("/settings", chat=GROUP)
        [card] = await until(lambda: stage.anna.sees_in(GROUP))
        assert await stage.bert.presses(card, "Portrait") == translate("not-your-button")
        await stage.anna.presses(card, "Silent")
        await until(lambda: "Notifications: silent" in card.text)


@pytest.mark.covers(
    "discord", "/settings", "/generate size", "[settings:*:size=*]", "[settings:*:notices=*]", "restart"
)
async def test_settings_are_drawn_with_and_silence_notices_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        answer = await stage.anna.slash(stage.channel, "settings")
        assert answer.ephemeral
        card = shown(answer)
        await stage.restart()
        assert "Size: landscape" in shown(await stage.anna.click(card, label="Landscape")).content
        assert "Notifications: silent" in shown(await stage.anna.click(card, label="Silent")).content
        code = await stage.trains()
        assert stage.dms()[-1].flags.suppress_notifications
        await stage.drawn(code)
        assert stage.request().shape == "landscape"
        await stage.anna.click(card, label="Style")
        await stage.anna.click(card, label="Oil painting")
        await stage.drawn(code, style="none", size="portrait")
        assert stage.request().shape == "portrait"
        assert not stage.request().prompt.startswith("oil")
        told = await stage.bert.slash(stage.channel, "settings")
        assert "Size: square" in text_of(told)


@pytest.mark.covers(
    "console",
    "/settings",
    "[settings:*:size=*]",
    "[settings:*:notices=*]",
    "[settings:*:style]",
    "[settings:*:style=*]",
    "[settings:*:style=]",
)
async def test_settings_are_pressed_by_number_at_the_console(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as person:
        await person.types("/settings", "Size: square(?s:.*)Silent[^\n]*\n")
        await person.presses("Portrait", "Size: portrait(?s:.*)Silent[^\n]*\n")
        await person.presses("Silent", "Notifications: silent(?s:.*)Silent[^\n]*\n")
        await person.presses("Style", "Default style(?s:.*)No style\n")
        await person.presses("Oil painting", "Style: Oil painting(?s:.*)Silent[^\n]*\n")
        await person.presses("Style: Oil painting", "Default style(?s:.*)No style\n")
        await person.presses("No style", "Style: none")
