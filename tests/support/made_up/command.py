"""The story of `/tick`, which a copy of the code has: it is on all chats, in their menus and in the help."""

from __future__ import annotations

from pathlib import Path

from bot.jobs.backends.fake import FakeBackend
from bot.texts import translate_to
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import text_of
from tests.acceptance.telegram_server import until
from tests.acceptance.test_console_pictures import console
from tests.acceptance.test_telegram_generate import says_and_hears

HELP_LINE = "/tick - hear what follows a tick"


async def test_it_is_on_telegram(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        assert (await says_and_hears(stage.anna, "/tick")).text == "Tock."
        assert (await says_and_hears(stage.anna, "/tic")).text == "Tock."
        assert HELP_LINE in (await says_and_hears(stage.anna, "/help")).text
        await until(lambda: "it" in stage.server.commands_in)
        assert "tick" in stage.server.commands
        assert stage.server.commands_in["it"]["tic"] == translate_to("it", "telegram-tick")


async def test_it_is_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        assert "tick" in stage.anna.available_commands(stage.channel)
        assert text_of(await stage.anna.slash(stage.channel, "tick")) == "Tock."
        assert HELP_LINE in text_of(await stage.anna.slash(stage.channel, "help"))


async def test_it_is_at_the_console(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend()) as person:
        await person.types("/tick", r"Tock\.")
        await person.types("/help", HELP_LINE)
