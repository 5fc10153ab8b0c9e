"""The whole front end on Telegram's API, with people who use it and a fake card behind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telegram import Update

import drawn
from bot.app.root import App, open_app, utc_now
from bot.app.settings import Settings
from bot.chats.telegram import RateLimit, RateLimits, TelegramAdapter
from bot.chats.telegram.handlers import AlbumPause
from bot.core.accounts import AccessMode, Identity, Platform
from bot.core.loras import LoraCode
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.fake import FakeBackend
from bot.media.quality import PhotoAnalyzer
from gpu_worker.protocol import GenerateRequest
from tests.acceptance.telegram_person import GROUP as GROUP
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import TOKEN, Shown, TelegramServer, telegram_server, until
from tests.acceptance.uses import note
from tests.support.data_dirs import create_data_dir
from tests.support.services import consented
from tests.support.skipped_time import SkippedTime
from tests.support.trained_lora import give_lora

PHOTOS = drawn.sample_photos(11, count=6, side_px=256)
#: Anna and Bert, who have agreed to what their photos must be.
PEOPLE = (7, 8)
#: Who runs the bot.
ADMIN = 50
#: People of a test do in a second what others do in minutes.
NO_LIMITS = RateLimits(*(RateLimit(10**6, 1.0, 10**6) for _ in range(3)))


@asynccontextmanager
async def telegram_bot(
    server: TelegramServer,
    folder: Path,
    backend: GpuBackend,
    acknowledge_within_s: float = 60.0,
    access: AccessMode = AccessMode.OPEN,
    eye: PhotoAnalyzer | None = None,
    limits: RateLimits = NO_LIMITS,
    album_pause: AlbumPause | None = None,
    time: SkippedTime | None = None,
) -> AsyncIterator[App]:
    """The whole front end, listening to the server; it looks at photos if it has an eye."""
    admins = frozenset({Identity(Platform.TELEGRAM, str(ADMIN))})
    create_data_dir(folder)
    settings = Settings(data_dir=folder, telegram_api_url=server.base_url, admins=admins, access=access)
    settings = settings.model_copy(update={"coach": "off" if eye is None else "on"})
    time = time or SkippedTime()
    async with open_app(settings, backend, time.utc_now, eye, card_pause_s=0.0) as app:
        await consented(app.database, *(Identity(Platform.TELEGRAM, str(number)) for number in PEOPLE))
        chat = TelegramAdapter(
            *(app.services, TOKEN, settings.telegram_api_url),
            album_pause or server.until_delivered,
            acknowledge_within_s,
            limits=limits,
            sleep=time.sleep,
            clock_s=time.monotonic_s,
        )
        app.chats[chat.platform] = chat
        server.bot = app
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


async def trained(person: Person) -> LoraCode:
    """Let somebody have a LoraCode that was trained before; nothing in a chat tells of it."""
    app, who = person.server.bot, Identity(Platform.TELEGRAM, str(person.id))
    assert app is not None, "the bot does not run"
    account = await app.database.accounts.get_or_create(who)
    return await give_lora(app.storage.root, account, who.private_address, utc_now())


async def trains(person: Person, photos: list[bytes] = PHOTOS[:5]) -> LoraCode:
    """Have a LoraCode made of five photos."""
    before = len(person.sees)
    await person.sends_photos(photos)
    ready = await until(lambda: [each for each in person.sees[before:] if "is ready," in each.text])
    return code_in(ready[0])


@dataclass
class Stage:
    """Anna and Bert, who know each other from a group, and the bot, which can be started anew."""

    server: TelegramServer
    folder: Path
    card: FakeBackend
    acknowledge_within_s: float
    eye: PhotoAnalyzer | None = None
    limits: RateLimits = NO_LIMITS
    time: SkippedTime = field(default_factory=SkippedTime)
    app: App = field(init=False)
    anna: Person = field(init=False)
    bert: Person = field(init=False)
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)
    _was_started: bool = False

    def __post_init__(self) -> None:
        self.anna, self.bert = Person(self.server, 7), Person(self.server, 8)

    async def start(self) -> None:
        """Start the bot on its folder."""
        note(Platform.TELEGRAM, *(["restart"] if self._was_started else []))
        self._was_started = True
        bot = telegram_bot(
            *(self.server, self.folder, self.card, self.acknowledge_within_s),
            eye=self.eye,
            limits=self.limits,
            time=self.time,
        )
        self.app = await self._running.enter_async_context(bot)

    async def stop(self) -> None:
        """Stop the bot."""
        await self._running.aclose()

    @property
    def chat(self) -> TelegramAdapter:
        """The adapter."""
        chat = self.app.chats[Platform.TELEGRAM]
        assert isinstance(chat, TelegramAdapter)
        return chat

    async def brings(self, update: dict[str, Any]) -> None:
        """Hand the bot an update of a kind that it does not ask for, and the emulator does not know."""
        await self.chat._processor.accept([Update.de_json(update, self.chat._app.bot)])

    async def comes_later(self, condition: Callable[[], Any]) -> Any:
        """Let time pass until the bot has done what it put off."""

        def passes() -> Any:
            self.time.skip(1.0)
            self.app.notice_sender.wake()
            self.app.direct_message_sender.wake()
            return condition()

        return await until(passes)

    @property
    def drawings(self) -> list[GenerateRequest]:
        """What the card was asked to draw."""
        return [each for each in self.card.requests if isinstance(each, GenerateRequest)]

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
    folder: Path,
    acknowledge_within_s: float = 60.0,
    eye: PhotoAnalyzer | None = None,
    limits: RateLimits = NO_LIMITS,
) -> AsyncIterator[Stage]:
    """Set everything up and start the bot."""
    async with telegram_server() as server:
        card = FakeBackend(picture=PHOTOS[0])
        stage = Stage(server, folder, card, acknowledge_within_s, eye, limits)
        await stage.start()
        try:
            yield stage
        finally:
            await stage.stop()
