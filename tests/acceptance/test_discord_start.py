"""How the bot comes to Discord, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.chats.discord import DiscordAdapter, LoraCodeClient
from bot.core.errors import SettingsError
from bot.db import Database
from bot.media.storage import Storage
from bot.services import Services, make_services
from bot.texts.admin.commands import ADMIN_COMMANDS
from tests.support.services import Clock, InProcessDecoder, RecordingQueue, tools
from tests.support.skipped_time import SkippedTime

CANARY = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GcanaR.y-in-a-coal-mine-27-chars-xx"
NewClient = Callable[[Services, Path | None], LoraCodeClient]


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Services]:
    clock = Clock()
    ledger = await Database.open(tmp_path / "ledger.sqlite3", clock)
    yield make_services(tools(ledger, RecordingQueue(), Storage(tmp_path), clock), InProcessDecoder())
    await ledger.close()


def refusing(error: Exception) -> NewClient:
    """Clients that end with an error when they are started."""

    class Refusing(LoraCodeClient):
        async def start(self, token: str, *, reconnect: bool = True) -> None:
            raise error

    return Refusing


def closed(code: int) -> discord.ConnectionClosed:
    gateway: Any = SimpleNamespace(close_code=code)
    return discord.ConnectionClosed(gateway, shard_id=None)


@pytest.mark.parametrize("error", [discord.LoginFailure("Improper token"), closed(4004)])
async def test_a_wrong_token_ends_the_start_with_one_line_that_names_the_setting(
    studio: Services, error: Exception
) -> None:
    with pytest.raises(SettingsError) as refused:
        await DiscordAdapter(CANARY, studio, client_factory=refusing(error)).run()
    assert str(refused.value).startswith("DISCORD_BOT_TOKEN ")
    assert "\n" not in str(refused.value)
    assert CANARY not in str(refused.value)


async def test_a_connection_that_cannot_be_kept_for_another_reason_is_not_hidden(studio: Services) -> None:
    with pytest.raises(discord.ConnectionClosed):
        await DiscordAdapter(CANARY, studio, client_factory=refusing(closed(4010))).run()


async def test_a_discord_that_names_no_gateway_just_now_is_asked_again(studio: Services) -> None:
    class Second(LoraCodeClient):
        async def start(self, token: str, *, reconnect: bool = True) -> None:
            return

    clients = iter([refusing(discord.GatewayNotFound()), Second])  # what discord.py makes of a 503 there
    chat = DiscordAdapter(
        CANARY, studio, client_factory=lambda *parts: next(clients)(*parts), sleep=SkippedTime().sleep
    )
    await chat.run()
    assert isinstance(chat.client, Second)


async def test_a_client_without_a_network_keeps_trying_and_says_so(
    studio: Services, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tries = 0
    third = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"

    def new_client(studio: Services, mark: Path | None) -> LoraCodeClient:
        nonlocal tries
        tries += 1
        if tries == 3:
            third.set()
        return LoraCodeClient(studio, mark, proxy=address)

    chat = DiscordAdapter(CANARY, studio, client_factory=new_client, sleep=SkippedTime().sleep)
    running = asyncio.create_task(chat.run())
    await asyncio.wait_for(third.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "Discord cannot be reached; the next try is in" in caplog.text
    assert CANARY not in caplog.text


async def test_the_client_asks_for_no_privileged_intent(studio: Services) -> None:
    intents = LoraCodeClient(studio).intents
    assert not (intents.message_content or intents.members or intents.presences)


async def test_every_command_works_in_servers_and_dms_for_servers_and_people(studio: Services) -> None:
    tree = LoraCodeClient(studio).tree
    for command in tree.get_commands():
        if command.name in ADMIN_COMMANDS:
            continue  # hidden from who administers no server; written in a direct message elsewhere
        told = command.to_dict(tree)
        assert told["contexts"] == [0, 1, 2], command.name
        assert told["integration_types"] == [0, 1], command.name
