"""Telegram's Bot API over HTTP on this machine, and a person who uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from lo_bot_api_emulator import ApiRefusal, LoBotApiEmulator

from bot.app import App, opened
from bot.backends.base import GpuBackend
from bot.chats.telegram import TelegramChat
from bot.settings import Settings

TOKEN = "123456:canary-token-of-telegram-1234567890"
BOT = {"id": 123456, "is_bot": True, "first_name": "LoraCode", "username": "loracode_bot"}


async def until(condition: Callable[[], Any], timeout_s: float = 300.0) -> Any:
    """Wait until a condition gives something true, and give that."""
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.005)
    return found


@dataclass
class Shown:
    """A message of the bot's, as it looks now."""

    id: int
    chat: int
    text: str = ""
    photos: list[bytes] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


class TelegramServer(LoBotApiEmulator):  # type: ignore[misc]
    """The emulator, with what it lacks: the bot's name, pictures put into messages, refusals on demand."""

    def __init__(self) -> None:
        super().__init__(max_assets=1000)
        self.shown: dict[int, Shown] = {}
        self.refusals: dict[str, list[ApiRefusal]] = {}
        self.base_url = ""

    def validate(self, method: str, fields: dict[str, Any], uploads: dict[str, Any]) -> Any:
        if self.refusals.get(method):
            raise self.refusals[method].pop(0)
        if method == "getMe":
            return BOT
        if method == "editMessageMedia":
            return self._edit_media(fields, uploads)
        result = super().validate(method, fields, uploads)
        if method.startswith("send") and isinstance(result, dict):
            message = self.shown[result["message_id"]] = Shown(result["message_id"], int(fields["chat_id"]))
            self._look(message, fields, uploads)
        elif method == "sendMediaGroup":
            message = Shown(result[0]["message_id"], int(fields["chat_id"]))
            self.shown[-message.id] = message
            self._look(message, fields, uploads)
        elif method == "editMessageText":
            self._look(self.shown[int(fields["message_id"])], fields, uploads)
        return result

    def _edit_media(self, fields: dict[str, Any], uploads: dict[str, Any]) -> Any:
        message = self.shown[int(fields["message_id"])]
        media = json.loads(fields["media"])
        self._look(message, {**fields, "caption": media.get("caption", "")}, uploads)
        chat = {"id": message.chat, "type": "private"}
        return {"message_id": message.id, "date": 1, "chat": chat, "photo": []}

    def _look(self, message: Shown, fields: dict[str, Any], uploads: dict[str, Any]) -> None:
        message.text = str(fields.get("text") or fields.get("caption") or "")
        message.photos += [each["data"] for each in uploads.values()]
        markup = fields.get("reply_markup")
        rows = (json.loads(markup) if isinstance(markup, str) else markup or {}).get("inline_keyboard", [])
        message.buttons = [(each["text"], each["callback_data"]) for row in rows for each in row]
        message.versions.append(message.text)


class Person:
    """Somebody with Telegram, in a private chat with the bot."""

    def __init__(self, server: TelegramServer, user_id: int) -> None:
        self._server = server
        self.id = user_id
        self._user = {"id": user_id, "is_bot": False, "first_name": f"Person {user_id}"}
        self._messages = 10_000 * user_id

    @property
    def sees(self) -> list[Shown]:
        """The bot's messages to this person, the oldest first."""
        return [message for message in self._server.shown.values() if message.chat == self.id]

    async def says(self, text: str) -> None:
        entities = []
        if text.startswith("/"):
            entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        await self._message({"text": text, "entities": entities})

    async def sends_photos(self, photos: list[bytes], *, album: bool = True) -> None:
        group = {"media_group_id": f"album{self._messages}"} if album else {}
        for data in photos:
            file = self._file(data)
            await self._message({"photo": [{**file, "width": 512, "height": 512}], **group})

    async def sends_file(self, name: str, data: bytes, size: int | None = None) -> None:
        """Send a file; `size` is what Telegram says of it, in bytes, when that is not its real one."""
        file = self._file(data) if size is None else {**self._file(data), "file_size": size}
        await self._message({"document": {**file, "file_name": name, "mime_type": "image/jpeg"}})

    async def presses(self, message: Shown, label: str) -> None:
        action = dict(message.buttons)[label]
        query = {
            "id": str(self._messages),
            "from": self._user,
            "chat_instance": "1",
            "data": action,
            "message": {"message_id": message.id, "date": 1, "chat": self._chat(), "text": message.text},
        }
        await self._server.enqueue_update({"callback_query": query}, token=TOKEN)

    async def hears(self, text: str, timeout_s: float = 300.0) -> Shown:
        """Wait until some message of the bot's holds a text."""
        found = await until(lambda: [each for each in self.sees if text in each.text], timeout_s)
        return found[-1]

    def _chat(self) -> dict[str, Any]:
        return {"id": self.id, "type": "private", "first_name": "Person"}

    def _file(self, data: bytes) -> dict[str, Any]:
        self._messages += 1
        name = f"file{self._messages}"
        self._server.assets[name] = {"data": data, "size": len(data), "filename": name}
        return {"file_id": name, "file_unique_id": name, "file_size": len(data)}

    async def _message(self, content: dict[str, Any]) -> None:
        self._messages += 1
        message = {
            "message_id": self._messages,
            "date": 1,
            "chat": self._chat(),
            "from": self._user,
            **content,
        }
        await self._server.enqueue_update({"message": message}, token=TOKEN)


@asynccontextmanager
async def telegram_server() -> AsyncIterator[TelegramServer]:
    server = TelegramServer()
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def telegram_bot(server: TelegramServer, folder: Path, backend: GpuBackend) -> AsyncIterator[App]:
    """The whole front end, listening to the server."""
    settings = Settings(data_dir=folder, telegram_api_url=server.base_url)
    async with opened(settings, backend) as app:
        chat = TelegramChat(app.studio, TOKEN, settings.telegram_api_url, album_pause_s=0.2)
        app.chats[chat.platform] = chat
        running = asyncio.create_task(app.run({"telegram": chat.run()}))
        try:
            yield app
        finally:
            running.cancel()
            await asyncio.wait([running])
        if not running.cancelled():
            running.result()
