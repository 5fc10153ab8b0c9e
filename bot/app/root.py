"""The composition root of the front end: builds every part, hands each what it needs, runs them together."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from bot.app.settings import Settings
from bot.chats.console import CONSOLE_IDENTITY
from bot.chats.discord import DiscordAdapter
from bot.chats.telegram import TelegramAdapter, Webhook
from bot.core.accounts import AccessRules, Platform
from bot.core.errors import SettingsError
from bot.core.messages import ChatAdapter, LinkableChat
from bot.db import Database
from bot.delivery.direct_messages import DirectMessageSender
from bot.delivery.notices import NoticeSender
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.local import POOL_TIMEOUTS, ProcessBackend
from bot.jobs.backends.pool import WorkerPool
from bot.jobs.backends.ray import RayBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.likeness_scoring import LikenessScorer
from bot.jobs.styles import load_styles
from bot.media.decoding import SandboxedPhotoDecoder
from bot.media.moderation import Moderator, SandboxedNsfwScorer, is_installed
from bot.media.moderation.blocked_words import BlockList
from bot.media.quality import PhotoAnalyzer, PhotoCoach, SandboxedPhotoAnalyzer
from bot.media.storage import Storage
from bot.ops import heartbeat
from bot.ops.daily_backup import DailyBackups
from bot.ops.error_log import RecentErrors
from bot.ops.health_server import HealthServer
from bot.ops.metrics import MetricsExporter, MetricSources
from bot.ops.monitor import HealthInputs, Monitor
from bot.ops.schedule import Schedule
from bot.services import Services, make_services
from bot.services.context import ServiceContext
from gpu_worker.protocol import SHIPPED_MODELS, WorkerHealth

log = logging.getLogger(__name__)


class ListeningChatAdapter(ChatAdapter, Protocol):
    """A chat that also listens; its `run` ends when there is nobody left to listen to."""

    async def run(self) -> None:
        """Listen until cancelled."""


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
                await self.notice_sender.deliver_due()
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
) -> AsyncIterator[App]:
    """Build the parts and take them down in reverse. Chats are added to `App.chats` by the caller."""
    # What was begun ends also where a later part cannot be built: the database's thread outlives its loop.
    async with AsyncExitStack() as exit_stack:
        storage = Storage(settings.data_dir)
        storage.create_folders()
        styles = load_styles()
        block_list = BlockList(settings.block_list)
        block_list.load()
        database = await Database.open(settings.data_dir / "ledger.sqlite3", clock)
        exit_stack.push_async_callback(database.close)
        photo_decoder, moderator = SandboxedPhotoDecoder(), make_moderator(settings)
        exit_stack.push_async_callback(moderator.close)
        exit_stack.push_async_callback(photo_decoder.close)
        gpu_backend = backend or make_backend(settings, os.environ)
        exit_stack.push_async_callback(gpu_backend.close)
        chats: dict[Platform, ChatAdapter] = {}
        notice_sender = NoticeSender(
            database=database, chats=chats, storage=storage, clock=clock, moderator=moderator
        )
        photo_analyzer = photo_analyzer or SandboxedPhotoAnalyzer()
        coach = PhotoCoach(
            photo_analyzer, is_enabled=lambda: is_coach_enabled(settings, gpu_backend.health())
        )
        exit_stack.push_async_callback(coach.close)
        likeness_scorer = LikenessScorer(None if settings.coach == "off" else photo_analyzer)
        dispatcher = Dispatcher(
            database=database,
            backend=gpu_backend,
            storage=storage,
            listener=notice_sender,
            styles=styles,
            likeness_scorer=likeness_scorer,
            face_mask=settings.face_mask,
            stop_early=settings.stop_early,
        )
        recent_errors, direct_message_sender = RecentErrors(), DirectMessageSender(database, chats, clock)
        context = ServiceContext(
            database=database,
            queue=dispatcher,
            storage=storage,
            styles=styles,
            clock=clock,
            max_file_bytes=lambda platform: chats[platform].max_file_bytes,
            recent_errors=recent_errors,
            rules=make_rules(settings),
            block_list=block_list,
            moderator=moderator,
            direct_messages=direct_message_sender,
            start_link=lambda word: make_start_link(chats, word),
            coach=coach,
        )
        services = make_services(context, photo_decoder)
        daily_backups = make_backups(settings, clock)
        if daily_backups is not None:
            exit_stack.push_async_callback(daily_backups.close)
        schedule = Schedule(
            database=database,
            storage=storage,
            notice_sender=notice_sender,
            clock=clock,
            forget_photos=context.forget_photos,
            backups=daily_backups,
        )
        exit_stack.push_async_callback(schedule.close)
        monitor = Monitor(
            database=database,
            health=dispatcher.health,
            clock=clock,
            inputs=make_health_inputs(settings, storage, gpu_backend, direct_message_sender, daily_backups),
        )
        last_backup_at = (lambda: None) if daily_backups is None else daily_backups.last_backup_at
        metric_sources = MetricSources(
            health=dispatcher.health,
            crash_count=gpu_backend.crash_count,
            error_count=lambda: recent_errors.count,
            last_backup_at=last_backup_at,
            data_dir=storage.root,
        )
        logging.getLogger().addHandler(recent_errors)
        exit_stack.callback(logging.getLogger().removeHandler, recent_errors)
        yield App(
            database=database,
            storage=storage,
            services=services,
            backend=gpu_backend,
            dispatcher=dispatcher,
            notice_sender=notice_sender,
            schedule=schedule,
            monitor=monitor,
            direct_message_sender=direct_message_sender,
            photo_decoder=photo_decoder,
            chats=chats,
            health_server=make_health_server(settings, database, metric_sources, clock),
        )


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


def make_webhook(settings: Settings) -> Webhook | None:
    """Return where Telegram brings updates; None where they are asked for."""
    if not settings.telegram_webhook_url:
        return None
    configured_secret = settings.telegram_webhook_secret
    # Telegram is told the secret at each start, so a new one will do.
    secret = secrets.token_urlsafe(32) if configured_secret is None else configured_secret.get_secret_value()
    return Webhook(settings.telegram_webhook_url, settings.telegram_webhook_listen, secret)


def is_coach_enabled(settings: Settings, health: WorkerHealth | None) -> bool:
    """Return whether photos are looked at; toys need none, and an unknown model may be one."""
    if settings.coach != "auto":
        return settings.coach == "on"
    model = settings.base_model or ("" if health is None else health.base_model)
    return model not in ("", *SHIPPED_MODELS)


def make_start_link(chats: Mapping[Platform, ChatAdapter], payload: str) -> str:
    """Return a link that opens a private chat and passes a payload; empty without such a platform."""
    links = [chat.start_link(payload) for chat in chats.values() if isinstance(chat, LinkableChat)]
    return next(filter(None, links), "")


def make_moderator(settings: Settings) -> Moderator:
    """Return what looks at pictures; SettingsError when it is wanted and not installed."""
    if not settings.content_check.is_active:
        return Moderator()
    if not is_installed():
        raise SettingsError(
            "CONTENT_CHECK: the extra `safety` is not installed: pip install --editable '.[safety]'"
        )
    return Moderator(
        SandboxedNsfwScorer(),
        settings.content_check,
        settings.content_check_threshold,
        is_fail_closed=settings.content_check_fail_closed,
    )


def make_rules(settings: Settings) -> AccessRules:
    """Return the rules by which people are served."""
    return AccessRules(
        admins=settings.admins | {CONSOLE_IDENTITY},  # whoever sits at the console runs this machine
        access=settings.access,
        allow_list=settings.allowed,
        quotas=settings.quotas,
        max_queued_jobs=settings.queue_limit,
        max_chat_jobs=settings.chat_limit,
    )


def make_backups(settings: Settings, clock: Callable[[], datetime]) -> DailyBackups | None:
    """Return what makes the daily backups; None where none are wanted."""
    if not settings.backup_days:
        return None
    folder = settings.backup_dir or settings.data_dir / "backups"
    return DailyBackups(settings.data_dir, folder, settings.backup_days, clock)


def make_health_inputs(
    settings: Settings,
    storage: Storage,
    gpu_backend: GpuBackend,
    direct_message_sender: DirectMessageSender,
    daily_backups: DailyBackups | None,
) -> HealthInputs:
    """Return what the watchman looks at besides the database, and whom it tells."""
    return HealthInputs(
        admins=sorted(settings.admins, key=str),
        wake_sender=direct_message_sender.wake,
        crash_count=gpu_backend.crash_count,
        disk_free_share=storage.free_disk_share,
        backup_error=lambda: "" if daily_backups is None else daily_backups.last_error,
    )


def make_health_server(
    settings: Settings, database: Database, metric_sources: MetricSources, clock: Callable[[], datetime]
) -> HealthServer | None:
    """Return what answers who asks for figures; None where nobody asked for a port."""
    if settings.metrics_listen is None:
        return None
    return HealthServer(MetricsExporter(database, metric_sources, clock), settings.metrics_listen)


def make_backend(settings: Settings, environ: Mapping[str, str]) -> GpuBackend:
    """Build what carries out GPU work: one local worker, or one for each card here or of a cluster."""
    command = make_worker_command(settings)
    if settings.backend == "ray":
        assert settings.ray_address is not None  # noqa: S101 - the settings have checked it
        return RayBackend(settings.ray_address, command[1:], environ)
    if settings.workers == 1:
        return ProcessBackend(command, environ)
    # What the environment lets us see is shared out; without that word the cards are counted from 0.
    visible_cards = [
        card_id.strip() for card_id in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card_id.strip()
    ]
    card_ids = visible_cards or [str(number) for number in range(settings.workers)]
    if len(card_ids) < settings.workers:
        raise SettingsError(
            f"WORKERS: {settings.workers} workers need a card each; "
            f"CUDA_VISIBLE_DEVICES names {len(card_ids)}"
        )
    return WorkerPool(
        ProcessBackend(
            command, {**environ, "CUDA_VISIBLE_DEVICES": card_id}, POOL_TIMEOUTS, f"worker {number}"
        )
        for number, card_id in enumerate(card_ids[: settings.workers], start=1)
    )


def make_worker_command(settings: Settings) -> list[str]:
    """Return the command line of the local worker process."""
    command = [sys.executable, "-m", "gpu_worker", "--base-model", settings.base_model]
    command += ["--generate-share", str(settings.generate_share)]
    if settings.train_steps is not None:
        command += ["--train-steps", str(settings.train_steps)]
    if settings.trainer == "sd-scripts":
        command += ["--trainer", settings.trainer, "--sd-scripts-dir", str(settings.sd_scripts_dir)]
        if settings.sd_scripts_python is not None:
            command += ["--sd-scripts-python", str(settings.sd_scripts_python)]
    return command
