"""Telegram brings updates itself: with a secret, over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.app.factories import make_webhook
from bot.app.root import open_app
from bot.app.settings import Settings
from bot.chats.telegram import TelegramAdapter, Webhook
from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError
from bot.jobs.backends.fake import FakeBackend
from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server, until
from tests.acceptance.telegram_stage import Person

SECRET = "canary-secret-of-the-webhook"
HEADER = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as running:
        yield running


@pytest.fixture
def door() -> Webhook:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Webhook(f"http://127.0.0.1:{port}/hook", ListenAddress("127.0.0.1", port), SECRET)


@asynccontextmanager
async def listening(server: TelegramServer, folder: Path, door: Webhook) -> AsyncIterator[None]:
    settings = Settings(data_dir=folder, telegram_api_url=server.base_url, coach="off")
    async with open_app(settings, FakeBackend()) as app:
        chat = TelegramAdapter(app.services, TOKEN, settings.telegram_api_url, webhook=door)
        app.chats[chat.platform] = chat
        running = asyncio.create_task(app.run({"telegram": chat.run()}))
        told = asyncio.create_task(until(lambda: server.commands))
        try:
            await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            for task in (running, told):
                task.cancel()
            await asyncio.wait([running, told])
        if not running.cancelled():
            running.result()


async def test_a_webhook_update_is_answered(server: TelegramServer, tmp_path: Path, door: Webhook) -> None:
    anna = Person(server, 7)
    async with listening(server, tmp_path, door):
        await anna.says("/help")
        await anna.hears("/generate")


async def test_updates_sent_while_the_bot_was_down_are_answered_later(
    server: TelegramServer, tmp_path: Path, door: Webhook
) -> None:
    anna = Person(server, 7)
    async with listening(server, tmp_path, door):
        pass
    await anna.says("/help")
    assert not anna.sees
    async with listening(server, tmp_path, door):
        await anna.hears("/generate")


@pytest.mark.parametrize("headers", [{}, {HEADER: "guessed"}, {HEADER: SECRET[:-1]}])
async def test_an_update_without_the_secret_is_not_heard(
    server: TelegramServer, tmp_path: Path, door: Webhook, headers: dict[str, str]
) -> None:
    async with listening(server, tmp_path, door), aiohttp.ClientSession() as client:
        async with client.post(door.url, json=_hello(8), headers=headers) as answer:
            assert answer.status == 403
        async with client.post(door.url, json=_hello(7), headers={HEADER: SECRET}) as answer:
            assert answer.status == 200
    # What was taken is answered before the bot ends.
    assert {message.chat for message in server.shown.values()} == {7}


async def test_a_secret_that_is_no_text_is_no_secret(
    server: TelegramServer, tmp_path: Path, door: Webhook
) -> None:
    async with listening(server, tmp_path, door):
        reader, writer = await asyncio.open_connection(door.listen_address.host, door.listen_address.port)
        name = HEADER.encode()
        writer.write(b"POST /hook HTTP/1.1\r\nHost: here\r\n" + name + b": \xff\r\nContent-Length: 0\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 403 Forbidden\r\n"
        writer.close()
        await writer.wait_closed()


async def test_an_update_delivered_twice_is_answered_once(
    server: TelegramServer, tmp_path: Path, door: Webhook
) -> None:
    async with listening(server, tmp_path, door), aiohttp.ClientSession() as client:
        for _ in range(2):
            async with client.post(door.url, json=_hello(7), headers={HEADER: SECRET}) as answer:
                assert answer.status == 200
    assert len(server.shown) == 1


def _hello(user_id: int) -> dict[str, object]:
    person = {"id": user_id, "is_bot": False, "first_name": "Anna"}
    said = {"message_id": 1, "date": 1, "text": "hello", "from": person}
    return {"update_id": user_id, "message": {**said, "chat": {"id": user_id, "type": "private"}}}


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b'{"update_id": {}, "message": 3}'])
async def test_an_unreadable_update_is_confirmed_and_stops_nothing(
    server: TelegramServer, tmp_path: Path, door: Webhook, body: bytes
) -> None:
    anna = Person(server, 7)
    async with listening(server, tmp_path, door), aiohttp.ClientSession() as telegram:
        async with telegram.post(door.url, data=body, headers={HEADER: SECRET}) as answer:
            assert answer.status == 200
        await anna.says("/help")
        await anna.hears("/generate")


async def test_an_address_that_telegram_refuses_is_one_line(
    server: TelegramServer, tmp_path: Path, door: Webhook
) -> None:
    server.refusals["setWebhook"] = [ApiRefusal("Bad Request: bad webhook: port is not allowed")]
    with pytest.raises(SettingsError, match=r"^TELEGRAM_WEBHOOK_URL: .*port is not allowed"):
        async with listening(server, tmp_path, door):
            pass


async def test_a_port_that_is_taken_is_one_line(
    server: TelegramServer, tmp_path: Path, door: Webhook
) -> None:
    with (
        socket.create_server(tuple(door.listen_address)),
        pytest.raises(SettingsError, match=r"^TELEGRAM_WEBHOOK_LISTEN: "),
    ):
        async with listening(server, tmp_path, door):
            pass


def test_each_start_has_a_secret_of_its_own_unless_one_is_set() -> None:
    wanted = {"TELEGRAM_WEBHOOK_URL": "https://bot.example.org/hook"}
    settings = Settings.from_environ(wanted)
    first, second = make_webhook(settings), make_webhook(settings)
    assert first is not None and second is not None
    assert first.secret != second.secret and len(first.secret) > 30
    assert first.secret not in repr(first)
    chosen = make_webhook(Settings.from_environ({**wanted, "TELEGRAM_WEBHOOK_SECRET": SECRET}))
    assert chosen is not None and chosen.secret == SECRET
    assert make_webhook(Settings.from_environ({})) is None
