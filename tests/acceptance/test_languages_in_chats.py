"""An Italian is spoken to in Italian on Telegram, on Discord and at the console; so are their notices."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chats.commands import COMMAND_NAMES
from bot.chats.console import terminal_locale
from bot.chats.discord import LoraCodeClient
from bot.chats.discord.localization import CommandTranslator
from bot.chats.discord.replies import identity_from_interaction
from bot.jobs.backends.fake import FakeBackend
from bot.texts import translate, translate_to
from bot.texts.admin.commands import ADMIN_COMMANDS
from tests.acceptance import discord_stage, telegram_stage
from tests.acceptance.discord_stage import shown, text_of
from tests.acceptance.telegram_server import until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Person
from tests.acceptance.test_console_pictures import console
from tests.support.engine import png


def italian(key: str, **values: str | int) -> str:
    return translate_to("it", key, **values)


async def test_the_language_of_the_app_is_spoken_up_to_the_notice_on_telegram(
    tmp_path: Path,
) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        anna = Person(stage.server, stage.anna.id, "it")
        await anna.says("/start")
        await anna.hears(italian("how-to-send-telegram"))
        await anna.says("/coda")
        await anna.hears(italian("nothing-waits"))
        await anna.says("/qualcosa")
        await anna.hears(italian("unknown-command"))
        await anna.sends_photos(PHOTOS[:5])
        await anna.hears("è pronto, e le tue foto sono state cancellate.")
        await stage.bert.says("/queue")
        await stage.bert.hears(translate("nothing-waits"))


@pytest.mark.covers("telegram", "[settings:*:language=*]", "by somebody else", "group")
async def test_an_italian_in_a_telegram_group_is_answered_in_italian(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        anna = Person(stage.server, stage.anna.id, "it-IT")
        await anna.says("/impostazioni", chat=GROUP)
        [card] = await until(lambda: anna.sees_in(GROUP))
        assert italian("settings-title") in card.text
        assert await stage.bert.presses(card, italian("settings-silent-button")) == translate(
            "not-your-button"
        )
        await anna.presses(card, "English")
        await until(lambda: "Language: English" in card.text)


async def test_telegram_is_told_the_commands_of_every_language(tmp_path: Path) -> None:
    async with telegram_stage.on_stage(tmp_path) as stage:
        await until(lambda: "it" in stage.server.commands_in)
        assert set(stage.server.commands) == set(COMMAND_NAMES)
        assert stage.server.commands_in["it"] == {
            italian(f"command-{each}"): italian(f"telegram-{each}") for each in COMMAND_NAMES
        }


@pytest.mark.covers("discord", "[settings:*:language=*]")
async def test_a_chosen_language_is_in_answers_forms_and_notices_on_discord(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        card = shown(await stage.anna.slash(stage.channel, "settings"))
        told = shown(await stage.anna.click(card, label="Italiano"))
        assert italian("settings-language", language="Italiano") in told.content
        assert text_of(await stage.anna.slash(stage.channel, "queue")) == italian("nothing-waits")
        code = await stage.trains()
        spaced = f"{code[:4]} {code[4:]}"
        ready = italian("notice-ready", code=spaced, photos=italian("photos-deleted"))
        assert ready in stage.dms()[-1].content
        assert text_of(await stage.bert.slash(stage.channel, "queue")) == translate("nothing-waits")


async def test_discord_is_told_names_and_descriptions_in_every_language(tmp_path: Path) -> None:
    async with discord_stage.on_stage(tmp_path) as stage:
        client = stage.bot.chat.client
        assert isinstance(client, LoraCodeClient)
        for command in client.tree.get_commands():
            if command.name in ADMIN_COMMANDS:
                continue
            payload: dict[str, Any] = dict(
                await command.get_translated_payload(client.tree, CommandTranslator())
            )
            if isinstance(command, discord.app_commands.ContextMenu):  # it has no description
                assert payload["name_localizations"] == {"it": italian("discord-menu-train")}
                continue
            assert payload["name_localizations"] == {"it": italian(f"command-{command.name}")}
            assert payload["description_localizations"] == {"it": italian(f"discord-{command.name}")}
            for option in payload["options"]:
                assert set(option["description_localizations"]) == {"it"}, option["name"]
        assert isinstance(client.tree.translator, CommandTranslator)


def test_the_locale_of_a_discord_user_goes_to_the_services() -> None:
    user = SimpleNamespace(id=5, name="anna", display_name="Anna")
    interaction: Any = SimpleNamespace(user=user, locale=discord.Locale.italian)
    assert identity_from_interaction(interaction).locale == "it"


@pytest.mark.covers("console", "[settings:*:language=*]")
async def test_the_console_understands_commands_in_every_language(tmp_path: Path) -> None:
    async with console(tmp_path / "data", FakeBackend(picture=png())) as typing:
        await typing.types("/impostazioni", "Language: English, same as your app(?s:.*)Italiano")
        await typing.presses("Italiano", "Lingua: Italiano\n")
        await typing.types("/queue", italian("nothing-waits"))


def test_a_terminal_s_locale_is_the_first_that_is_set() -> None:
    assert terminal_locale({"LANG": "it_IT.UTF-8"}) == "it_IT.UTF-8"
    assert terminal_locale({"LANG": "it_IT.UTF-8", "LC_ALL": "en_GB.UTF-8"}) == "en_GB.UTF-8"
    assert terminal_locale({"LANG": ""}) == ""
