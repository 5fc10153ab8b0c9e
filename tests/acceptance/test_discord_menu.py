"""Photos of a message become a set by the entry of Discord's menu *Apps*."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.chats.discord import LoraCodeClient
from bot.core.loras import format_code
from tests.acceptance.discord_stage import PhotoFile, Stage, on_stage, photos, text_of

ENTRY = "Train on these photos"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def posted(stage: Stage, files: list[PhotoFile]) -> discord.Message:
    """Bert shows photos to everybody in the channel."""
    message: discord.Message = await stage.bert.send(stage.channel, "look", attachments=files)
    return message


@pytest.mark.covers("discord", "Apps: Train on these photos")
async def test_five_photos_of_a_message_become_a_lora_code(stage: Stage) -> None:
    message = await posted(stage, photos(5))
    answer = await stage.anna.context_menu(stage.channel, ENTRY, message)
    assert answer.ephemeral
    assert format_code(await stage.code()) in text_of(answer)


async def test_the_photos_of_two_messages_are_one_set(stage: Stage) -> None:
    first, second = await posted(stage, photos(3)), await posted(stage, photos(2, first=4))
    await stage.anna.context_menu(stage.channel, ENTRY, first)
    assert await stage.held() == 3
    answer = await stage.anna.context_menu(stage.channel, ENTRY, second)
    assert format_code(await stage.code()) in text_of(answer)


async def test_a_message_without_photos_is_answered_with_what_is_missing(stage: Stage) -> None:
    message = await posted(stage, [])
    answer = await stage.anna.context_menu(stage.channel, ENTRY, message)
    assert answer.ephemeral
    assert "photos" in text_of(answer)
    assert await stage.held() == 0


async def test_a_person_without_consent_is_asked_first(stage: Stage) -> None:
    carla = stage.channel.guild.add_member(stage.env.create_user("carla"))
    message = await posted(stage, photos(5))
    answer = await carla.context_menu(stage.channel, ENTRY, message)
    assert answer.ephemeral
    assert "Please confirm" in text_of(answer)
    assert not stage.backend.requests


async def test_the_client_takes_as_many_connections_as_discord_asks_for(stage: Stage) -> None:
    assert isinstance(stage.bot.chat.client, discord.AutoShardedClient)
    assert LoraCodeClient(stage.bot.studio.services).shard_count is None, "Discord says how many"
