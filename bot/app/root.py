"""The composition root of the front end: builds every part, hands each what it needs, runs them together."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from bot.app.factories import (
    find_trained_side_px,
    is_coach_enabled,
    make_backend,
    make_backups,
    make_health_inputs,
    make_health_server,
    make_moderator,
    make_rules,
    make_start_link,
    make_webhook,
)
from bot.app.settings import Settings
from bot.chats.discord import DiscordAdapter
from bot.chats.telegram import TelegramAdapter
from bot.core.accounts import Platform
from bot.core.messages import ChatAdapter, ListeningChatAdapter
from bot.db import Database
from bot.delivery.cards import CARD_PAUSE_S
from bot.delivery.direct_messages import DirectMessageSender
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.base import GpuBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.styles import Styles, load_styles
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.moderation import Moderator
from bot.media.moderation.blocked_words import BlockList
from bot.media.quality import PhotoAnalyzer, PhotoCoach, SandboxedPhotoAnalyzer
from bot.media.storage import Storage
from bot.ops import heartbeat
from bot.ops.daily_backup import DailyBackups
from bot.ops.error_log import RecentErrors
from bot.ops.health_server import HealthServer
from bot.ops.metrics import MetricSources
from bot.ops.monitor import Monitor
from bot.ops.schedule import Schedule
from bot.services import Services, make_services
from bot.services.context import ServiceContext

log = logging.getLogger(__name__)


class _Closable(Protocol):
    async def close(self) -> None: ...


_Part = TypeVar("_Part", bound=_Closable)


def utc_now() -> datetime:
    """Tell the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class App:
    """The parts of a running front end."""

    database: Database
    storage: Storage
    services: Services
    backend: GpuBackend
    dispatcher: Dispatcher
    notice_sender: NoticeSender
    schedule: Schedule
    monitor: Monitor
    direct_message_sender: DirectMessageSender
    photo_decoder: SandboxedPhotoDecoder
    chats: dict[Platform, ChatAdapter]
    health_server: HealthServer | None = None  #: None: nobody asked for a port

    async def run(self, runners: Mapping[str, Awaitable[None]]) -> None:
        """Run everything until the first of the parts ends; one that failed ends the whole with its error."""
        await self.backend.start()
        self.schedule.start(self.monitor.check)
        parts: dict[str, Awaitable[None]] = {
            "dispatcher": self.dispatcher.run(),
            "notifier": self.notice_sender.run(),
            "pulse": heartbeat.write_heartbeats(self.storage, self.backend.health, utc_now),
            "postman": self.direct_message_sender.run(),
            **runners,
        }
        if self.health_server is not None:
            parts["lookout"] = self.health_server.run()
        tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
        try:
            done, _ = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if tasks["dispatcher"] in done:  # it was told to finish: whoever it worked for hears of it first
                tasks["notifier"].cancel()
                await asyncio.wait([tasks["notifier"]])
                await self.notice_sender.deliver_last()
        finally:
            # What they were about to tell they still may: the chats, which they need, stop after them.
            await _cancel_tasks([tasks["notifier"], tasks["postman"]])
            await _cancel_tasks(tasks.values())


async def _cancel_tasks(tasks: Collection[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def open_app(
    settings: Settings,
    backend: GpuBackend | None = None,
    clock: Callable[[], datetime] = utc_now,
    photo_analyzer: PhotoAnalyzer | None = None,
    card_pause_s: float = CARD_PAUSE_S,
) -> AsyncIterator[App]:
    """Build the parts and take them down in reverse. Chats are added to `App.chats` by the caller."""
    # What was begun ends also where a later part cannot be built: the database's thread outlives its loop.
    async with AsyncExitStack() as exit_stack:
        storage = Storage(settings.data_dir)
        storage.create_folders()
        database = await Database.open(settings.data_dir / "ledger.sqlite3", clock)
        exit_stack.push_async_callback(database.close)
        builder = _AppBuilder(settings, clock, exit_stack, storage, database, card_pause_s)
        yield builder.build(backend, photo_analyzer or SandboxedPhotoAnalyzer())


@dataclass(frozen=True)
class _AppBuilder:
    """Builds the parts on a database, each with its end on the stack."""

    settings: Settings
    clock: Callable[[], datetime]
    exit_stack: AsyncExitStack
    storage: Storage
    database: Database
    card_pause_s: float
    chats: dict[Platform, ChatAdapter] = field(default_factory=dict)
    recent_errors: RecentErrors = field(default_factory=RecentErrors)
    styles: Styles = field(default_factory=load_styles)

    def build(self, backend: GpuBackend | None, photo_analyzer: PhotoAnalyzer) -> App:
        moderator = self._close_at_end(make_moderator(self.settings))
        photo_decoder = self._close_at_end(SandboxedPhotoDecoder())
        gpu_backend = self._close_at_end(backend or make_backend(self.settings, os.environ))
        notice_sender = self._build_notice_sender(moderator)
        dispatcher = self._build_dispatcher(gpu_backend, notice_sender, photo_analyzer)
        direct_message_sender = DirectMessageSender(self.database, self.chats, self.clock)
        context = self._build_context(
            dispatcher, gpu_backend, moderator, direct_message_sender, photo_analyzer
        )
        daily_backups = make_backups(self.settings, self.clock)
        if daily_backups is not None:
            self._close_at_end(daily_backups)
        schedule = Schedule(
            database=self.database,
            storage=self.storage,
            notice_sender=notice_sender,
            clock=self.clock,
            forget_photos=context.forget_photos,
            backups=daily_backups,
        )
        logging.getLogger().addHandler(self.recent_errors)
        self.exit_stack.callback(logging.getLogger().removeHandler, self.recent_errors)
        return App(
            database=self.database,
            storage=self.storage,
            services=make_services(context, photo_decoder),
            backend=gpu_backend,
            dispatcher=dispatcher,
            notice_sender=notice_sender,
            schedule=self._close_at_end(schedule),
            monitor=Monitor(
                database=self.database,
                health=dispatcher.health,
                clock=self.clock,
                inputs=make_health_inputs(
                    self.settings, self.storage, gpu_backend, direct_message_sender, daily_backups
                ),
            ),
            direct_message_sender=direct_message_sender,
            photo_decoder=photo_decoder,
            chats=self.chats,
            health_server=self._build_health_server(dispatcher, gpu_backend, daily_backups),
        )

    def _build_notice_sender(self, moderator: Moderator) -> NoticeSender:
        return NoticeSender(
            database=self.database,
            chats=self.chats,
            storage=self.storage,
            clock=self.clock,
            card_pause_s=self.card_pause_s,
            moderator=moderator,
        )

    def _build_dispatcher(
        self, gpu_backend: GpuBackend, notice_sender: NoticeSender, photo_analyzer: PhotoAnalyzer
    ) -> Dispatcher:
        return Dispatcher(
            database=self.database,
            backend=gpu_backend,
            storage=self.storage,
            listener=notice_sender,
            styles=self.styles,
            likeness_scorer=LikenessScorer(None if self.settings.coach == "off" else photo_analyzer),
            face_mask=self.settings.face_mask,
            stop_early=self.settings.stop_early,
        )

    def _build_context(
        self,
        dispatcher: Dispatcher,
        gpu_backend: GpuBackend,
        moderator: Moderator,
        direct_message_sender: DirectMessageSender,
        photo_analyzer: PhotoAnalyzer,
    ) -> ServiceContext:
        block_list = BlockList(self.settings.block_list)
        block_list.load()
        coach = PhotoCoach(
            photo_analyzer,
            is_enabled=lambda: is_coach_enabled(self.settings, gpu_backend.health()),
            trained_side_px=lambda: find_trained_side_px(gpu_backend.health()),
        )
        return ServiceContext(
            database=self.database,
            queue=dispatcher,
            storage=self.storage,
            styles=self.styles,
            clock=self.clock,
            max_file_bytes=lambda platform: self.chats[platform].max_file_bytes,
            recent_errors=self.recent_errors,
            rules=make_rules(self.settings),
            block_list=block_list,
            moderator=moderator,
            direct_messages=direct_message_sender,
            start_link=lambda word: make_start_link(self.chats, word),
            coach=self._close_at_end(coach),
        )

    def _build_health_server(
        self, dispatcher: Dispatcher, gpu_backend: GpuBackend, daily_backups: DailyBackups | None
    ) -> HealthServer | None:
        metric_sources = MetricSources(
            health=dispatcher.health,
            crash_count=gpu_backend.crash_count,
            error_count=lambda: self.recent_errors.count,
            last_backup_at=(lambda: None) if daily_backups is None else daily_backups.last_backup_at,
            data_dir=self.storage.root,
        )
        return make_health_server(self.settings, self.database, metric_sources, self.clock)

    def _close_at_end(self, part: _Part) -> _Part:
        self.exit_stack.push_async_callback(part.close)
        return part


def warm_up(app: App) -> None:
    """Do before the first message comes what it would have to wait for."""
    app.photo_decoder.warm_up()
    # What is here now stays: each later collection would look at it again, which stops all answers for 0.1 s.
    gc.collect()
    gc.freeze()


async def serve(settings: Settings) -> None:
    """Be the bot on every platform there is a token for, until cancelled."""
    async with open_app(settings) as app:
        chats = make_chats(settings, app)
        app.chats.update({chat.platform: chat for chat in chats})
        warm_up(app)
        log.info("LoraCode runs on %s", " and ".join(sorted(app.chats)))
        await app.run({chat.platform: chat.run() for chat in chats})


def make_chats(settings: Settings, app: App) -> list[ListeningChatAdapter]:
    """Build the chats that have a token."""
    chats: list[ListeningChatAdapter] = []
    if settings.telegram_bot_token is not None:
        token = settings.telegram_bot_token.get_secret_value()
        chats.append(
            TelegramAdapter(app.services, token, settings.telegram_api_url, webhook=make_webhook(settings))
        )
    if settings.discord_bot_token is not None:
        token = settings.discord_bot_token.get_secret_value()
        chats.append(DiscordAdapter(token, app.services, settings.data_dir / "discord-commands.sha256"))
    return chats
