"""The whole front end on Telegram's API, with people who use it and a fake card behind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drawn
from bot.app import App, opened
from bot.backends.base import GpuBackend
from bot.backends.fake import FakeBackend
from bot.chats.telegram import TelegramChat
from bot.coach import Eye
from bot.domain import Access, Identity, LoraCode, Platform
from bot.settings import Settings
from gpu_worker.protocol import Generate
from tests.acceptance.telegram_server import BOT, TOKEN, Shown, TelegramServer, telegram_server, until
from tests.integration.studio_desk import consented

PHOTOS = drawn.sample_photos(11, count=6, side_px=256)
#: Anna and Bert, who have agreed to what their photos must be.
PEOPLE = (7, 8)
#: Who runs the bot.
ADMIN = 50
#: A chat with others.
GROUP = -500


class Person:
    """Somebody with Telegram. Speaks to the bot in a private chat, or in a group where `chat` says so."""

    def __init__(self, server: TelegramServer, user_id: int, language: str = "") -> None:
        self._server = server
        self.id = user_id
        self._user: dict[str, Any] = {"id": user_id, "is_bot": False, "first_name": f"Person {user_id}"}
        if language:
            self._user["language_code"] = language
        self._messages = 10_000 * user_id

    @property
    def sees(self) -> list[Shown]:
        """The bot's messages to this person, the oldest first."""
        return self.sees_in(self.id)

    def sees_in(self, chat: int) -> list[Shown]:
        """The bot's messages in a chat, the oldest first."""
        return [message for message in self._server.shown.values() if message.chat == chat]

    async def says(self, text: str, *, chat: int | None = None, to: Shown | None = None, **more: Any) -> None:
        """Write something; `to` answers a message of the bot's, `more` are further fields of the message."""
        entities = []
        if text.startswith("/"):
            entities = [{"type": "bot_command", "offset": 0, "length": len(text.split()[0])}]
        if to is not None:
            more["reply_to_message"] = {**self._message_of_bot(to), "from": BOT}
        await self._message({"text": text, "entities": entities, **more}, chat)

    async def sends_photos(self, photos: list[bytes], *, album: bool | str = True) -> None:
        name = album if isinstance(album, str) else f"album{self._messages}"
        group = {"media_group_id": name} if album else {}
        for data in photos:
            file = self._file(data)
            await self._message({"photo": [{**file, "width": 512, "height": 512}], **group})

    async def sends_file(self, name: str, data: bytes, size: int | None = None) -> None:
        """Send a file; `size` is what Telegram says of it, in bytes, when that is not its real one."""
        file = self._file(data) if size is None else {**self._file(data), "file_size": size}
        await self._message({"document": {**file, "file_name": name, "mime_type": "image/jpeg"}})

    async def taps(self, message: Shown, label: str, *, years_later: bool = False) -> str:
        """Press a button and give the press's id; of an old message the bot is told the number only."""
        return await self.sends_action(message, dict(message.buttons)[label], years_later=years_later)

    async def sends_action(self, message: Shown, action: str, *, years_later: bool = False) -> str:
        """Press as a button with this action would, be it there or not."""
        self._messages += 1
        shown = self._message_of_bot(message)
        query = {
            "id": str(self._messages),
            "from": self._user,
            "chat_instance": "1",
            "data": action,
            "message": {**shown, "date": 0} if years_later else {**shown, "text": message.text},
        }
        await self._server.enqueue_update({"callback_query": query}, token=TOKEN)
        return str(query["id"])

    async def presses(self, message: Shown, label: str, *, years_later: bool = False) -> str:
        """Press a button and give what an alert said about it, once the bot has taken note."""
        press = await self.taps(message, label, years_later=years_later)
        await until(lambda: press in self._server.pressed)
        return self._server.pressed[press]

    async def hears(self, text: str, timeout_s: float = 300.0) -> Shown:
        """Wait until some message of the bot's holds a text."""
        found = await until(lambda: [each for each in self.sees if text in each.text], timeout_s)
        assert isinstance(found[-1], Shown)
        return found[-1]

    def wrote(self, chat: int) -> dict[str, Any]:
        """Give this person's latest message, as one that somebody answers to."""
        return {"message_id": self._messages, "date": 1, "chat": self._chat(chat), "from": self._user}

    def _message_of_bot(self, message: Shown) -> dict[str, Any]:
        return {"message_id": message.id, "date": 1, "chat": self._chat(message.chat)}

    def _chat(self, chat: int | None = None) -> dict[str, Any]:
        if chat is not None and chat < 0:
            return {"id": chat, "type": "group", "title": "Friends"}
        return {"id": self.id, "type": "private", "first_name": "Person"}

    def _file(self, data: bytes) -> dict[str, Any]:
        self._messages += 1
        name = f"file{self._messages}"
        self._server.assets[name] = {"data": data, "size": len(data), "filename": name}
        return {"file_id": name, "file_unique_id": name, "file_size": len(data)}

    async def _message(self, content: dict[str, Any], chat: int | None = None) -> None:
        self._messages += 1
        message = {
            "message_id": self._messages,
            "date": 1,
            "chat": self._chat(chat),
            "from": self._user,
            **content,
        }
        await self._server.enqueue_update({"message": message}, token=TOKEN)


@asynccontextmanager
async def telegram_bot(
    server: TelegramServer,
    folder: Path,
    backend: GpuBackend,
    acknowledge_within_s: float = 60.0,
    access: Access = Access.OPEN,
    eye: Eye | None = None,
) -> AsyncIterator[App]:
    """The whole front end, listening to the server; it looks at photos if it has an eye."""
    admins = frozenset({Identity(Platform.TELEGRAM, str(ADMIN))})
    settings = Settings(data_dir=folder, telegram_api_url=server.base_url, admins=admins, access=access)
    settings = settings.model_copy(update={"coach": "off" if eye is None else "on"})
    async with opened(settings, backend, eye=eye) as app:
        await consented(app.ledger, *(Identity(Platform.TELEGRAM, str(number)) for number in PEOPLE))
        chat = TelegramChat(app.studio, TOKEN, settings.telegram_api_url, 0.2, acknowledge_within_s)
        app.chats[chat.platform] = chat
        running = asyncio.create_task(app.run({"telegram": chat.run()}), name="front-end")
        try:
            yield app
        finally:
            running.cancel()
            await asyncio.wait([running])
        if not running.cancelled():
            running.result()


def code_in(message: Shown) -> LoraCode:
    """Read the LoraCode in a message."""
    found = re.search(r"(\d{4}) (\d{4})", message.text)
    assert found is not None, message.text
    return LoraCode(found[1] + found[2])


async def trained(person: Person, photos: list[bytes] = PHOTOS[:5]) -> LoraCode:
    """Have a LoraCode made of five photos."""
    before = len(person.sees)
    await person.sends_photos(photos)
    ready = await until(lambda: [each for each in person.sees[before:] if "is ready" in each.text])
    return code_in(ready[0])


@dataclass
class Stage:
    """Anna and Bert, who know each other from a group, and the bot, which can be started anew."""

    server: TelegramServer
    folder: Path
    card: FakeBackend
    acknowledge_within_s: float
    eye: Eye | None = None
    app: App = field(init=False)
    anna: Person = field(init=False)
    bert: Person = field(init=False)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.anna, self.bert = Person(self.server, 7), Person(self.server, 8)

    async def start(self) -> None:
        """Start the bot on its folder."""
        bot = telegram_bot(self.server, self.folder, self.card, self.acknowledge_within_s, eye=self.eye)
        self.app = await self._running.enter_async_context(bot)

    async def stop(self) -> None:
        """Stop the bot."""
        await self._running.aclose()

    @property
    def chat(self) -> TelegramChat:
        """The adapter."""
        chat = self.app.chats[Platform.TELEGRAM]
        assert isinstance(chat, TelegramChat)
        return chat

    @property
    def drawings(self) -> list[Generate]:
        """What the card was asked to draw."""
        return [each for each in self.card.requests if isinstance(each, Generate)]

    async def result(self, options: str = "", chat: int | None = None) -> Shown:
        """Have Anna draw a boat with a new LoraCode, and give the message with its result."""
        code = await trained(self.anna)
        await self.anna.says(f"/generate {code} a boat {options}", chat=chat)
        return await self.next_result(0, chat)

    async def next_result(self, known: int = 1, chat: int | None = None) -> Shown:
        """Wait for a result beyond those already known."""
        results = await until(lambda: self._results(chat)[known:])
        assert isinstance(results[0], Shown)
        return results[0]

    def _results(self, chat: int | None) -> list[Shown]:
        shown = self.anna.sees_in(self.anna.id if chat is None else chat)
        return [each for each in shown if any("again" in action for _, action in each.buttons)]


@asynccontextmanager
async def on_stage(
    folder: Path, acknowledge_within_s: float = 60.0, eye: Eye | None = None
) -> AsyncIterator[Stage]:
    """Set everything up and start the bot."""
    async with telegram_server() as server:
        stage = Stage(server, folder, FakeBackend(picture=PHOTOS[0]), acknowledge_within_s, eye)
        await stage.start()
        try:
            yield stage
        finally:
            await stage.stop()
