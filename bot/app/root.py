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

from bot.app.settings import SHIPPED_MODELS, Settings
from bot.chats.console import ME
from bot.chats.discord import DiscordChat
from bot.chats.telegram import TelegramChat, Webhook
from bot.core.accounts import Platform, Rules
from bot.core.errors import SettingsError
from bot.core.messages import Chat
from bot.db import Ledger
from bot.delivery.direct_messages import Postman
from bot.delivery.notices import Notifier
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.local import AMONG_OTHERS, LocalBackend
from bot.jobs.backends.pool import Fleet
from bot.jobs.backends.ray import RayBackend
from bot.jobs.dispatcher import Dispatcher
from bot.jobs.likeness_scoring import Judging
from bot.jobs.styles import read_styles
from bot.media.decoding import PhotoGate
from bot.media.moderation import ChildLooker, Guard, GuardedGate, is_installed
from bot.media.moderation.blocked_words import BlockList
from bot.media.quality import ChildEye, Coach, Eye
from bot.media.storage import Files
from bot.ops import heartbeat
from bot.ops.daily_backup import Backups
from bot.ops.error_log import Troubles
from bot.ops.health_server import Lookout
from bot.ops.metrics import Dials, Meter
from bot.ops.monitor import Outlook, Watchman
from bot.ops.schedule import Schedule
from bot.services.context import Tools
from bot.services.studio import Studio
from gpu_worker.protocol import Health

log = logging.getLogger(__name__)


class RunningChat(Chat, Protocol):
    """A chat that also listens; its `run` ends when there is nobody left to listen to."""

    async def run(self) -> None:
        """Listen until cancelled."""


def utc_now() -> datetime:
    """Tell the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class App:
    """The parts of a running front end."""

    ledger: Ledger
    files: Files
    studio: Studio
    backend: GpuBackend
    dispatcher: Dispatcher
    notifier: Notifier
    schedule: Schedule
    watchman: Watchman
    postman: Postman
    gate: PhotoGate
    chats: dict[Platform, Chat]
    lookout: Lookout | None = None  #: None: nobody asked for a port

    async def run(self, runners: Mapping[str, Awaitable[None]]) -> None:
        """Run everything until the first of the parts ends; one that failed ends the whole with its error."""
        await self.backend.start()
        self.schedule.start(self.watchman.look)
        parts: dict[str, Awaitable[None]] = {
            "dispatcher": self.dispatcher.run(),
            "notifier": self.notifier.run(),
            "pulse": heartbeat.beat(self.files, self.backend.health, utc_now),
            "postman": self.postman.run(),
            **runners,
        }
        if self.lookout is not None:
            parts["lookout"] = self.lookout.run()
        tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
        try:
            done, _ = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if tasks["dispatcher"] in done:  # it was told to finish: whoever it worked for hears of it first
                tasks["notifier"].cancel()
                await asyncio.wait([tasks["notifier"]])
                await self.notifier.deliver_owed()
        finally:
            # What they were about to tell they still may: the chats, which they need, stop after them.
            await _stopped([tasks["notifier"], tasks["postman"]])
            await _stopped(tasks.values())


async def _stopped(tasks: Collection[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@asynccontextmanager
async def opened(
    settings: Settings,
    backend: GpuBackend | None = None,
    clock: Callable[[], datetime] = utc_now,
    eye: Eye | None = None,
) -> AsyncIterator[App]:
    """Build the parts and take them down in reverse. Chats are added to `App.chats` by the caller."""
    # What was begun ends also where a later part cannot be built: the ledger's thread outlives its loop.
    async with AsyncExitStack() as taken_down:
        files = Files(settings.data_dir)
        files.prepare()
        styles = read_styles()
        block_list = BlockList(settings.block_list)
        block_list.prepare()
        ledger = await Ledger.open(settings.data_dir / "ledger.sqlite3", clock)
        taken_down.push_async_callback(ledger.close)
        gate, guard = PhotoGate(), content_guard(settings)
        taken_down.push_async_callback(guard.close)
        taken_down.push_async_callback(gate.close)
        worker = backend or workers(settings, os.environ)
        taken_down.push_async_callback(worker.close)
        chats: dict[Platform, Chat] = {}
        notifier = Notifier(ledger, chats, files, clock, guard=guard)
        eye = eye or ChildEye()
        coach = Coach(eye, is_wanted=lambda: coach_is_wanted(settings, worker.health()))
        taken_down.push_async_callback(coach.close)
        judging = Judging(None if settings.coach == "off" else eye)
        dispatcher = Dispatcher(
            ledger, worker, files, notifier, styles, judging, settings.face_mask, settings.stop_early
        )
        troubles, postman = Troubles(), Postman(ledger, chats, clock)
        tools = Tools(
            *(ledger, dispatcher, files, styles, clock),
            max_file_bytes=lambda platform: chats[platform].max_file_bytes,
            troubles=troubles,
            rules=rules(settings),
            block_list=block_list,
            guard=guard,
            mailbox=postman,
            start_link=lambda word: start_link(chats.get(Platform.TELEGRAM), word),
            coach=coach,
        )
        # Who sits at the console runs this machine.
        studio = Studio(tools, GuardedGate(gate, guard), settings.admins | {ME})
        safe = backups(settings, clock)
        if safe is not None:
            taken_down.push_async_callback(safe.close)
        schedule = Schedule(ledger, files, notifier, clock, tools.forget, safe)
        taken_down.push_async_callback(schedule.close)
        watchman = Watchman(ledger, dispatcher.health, clock, outlook(settings, files, worker, postman, safe))
        last_backup_at = (lambda: None) if safe is None else safe.last_at
        dials = Dials(dispatcher.health, worker.deaths, lambda: troubles.count, last_backup_at, files.root)
        logging.getLogger().addHandler(troubles)
        taken_down.callback(logging.getLogger().removeHandler, troubles)
        yield App(
            *(ledger, files, studio, worker, dispatcher, notifier, schedule, watchman, postman, gate, chats),
            lookout=lookout(settings, ledger, dials, clock),
        )


def settle(app: App) -> None:
    """Do before the first message comes what it would have to wait for."""
    app.gate.warm_up()
    # What is here now stays: each later collection would look at it again, which stops all answers for 0.1 s.
    gc.collect()
    gc.freeze()


async def serve(settings: Settings) -> None:
    """Be the bot on every platform there is a token for, until cancelled."""
    async with opened(settings) as app:
        chats = token_chats(settings, app)
        app.chats.update({chat.platform: chat for chat in chats})
        settle(app)
        log.info("LoraCode runs on %s", " and ".join(sorted(app.chats)))
        await app.run({chat.platform: chat.run() for chat in chats})


def token_chats(settings: Settings, app: App) -> list[RunningChat]:
    """Build the chats that have a token."""
    chats: list[RunningChat] = []
    if settings.telegram_bot_token is not None:
        token = settings.telegram_bot_token.get_secret_value()
        chats.append(TelegramChat(app.studio, token, settings.telegram_api_url, webhook=webhook(settings)))
    if settings.discord_bot_token is not None:
        token = settings.discord_bot_token.get_secret_value()
        chats.append(DiscordChat(token, app.studio, settings.data_dir / "discord-commands.sha256"))
    return chats


def webhook(settings: Settings) -> Webhook | None:
    """Give where Telegram brings updates; None where they are asked for."""
    if not settings.telegram_webhook_url:
        return None
    given = settings.telegram_webhook_secret
    # Telegram is told the secret at each start, so a new one will do.
    secret = secrets.token_urlsafe(32) if given is None else given.get_secret_value()
    return Webhook(settings.telegram_webhook_url, settings.telegram_webhook_listen, secret)


def coach_is_wanted(settings: Settings, health: Health | None) -> bool:
    """Say whether photos are looked at; toys need none, and an unknown model may be one."""
    if settings.coach != "auto":
        return settings.coach == "on"
    model = settings.base_model or ("" if health is None else health.base_model)
    return model not in ("", *SHIPPED_MODELS)


def start_link(chat: Chat | None, word: str) -> str:
    """Give an address that opens the bot with a word; nothing while it is not on Telegram."""
    return chat.start_link(word) if isinstance(chat, TelegramChat) else ""


def content_guard(settings: Settings) -> Guard:
    """Give what looks at pictures; SettingsError when it is wanted and not installed."""
    if not settings.content_check.looks:
        return Guard()
    if not is_installed():
        raise SettingsError(
            "CONTENT_CHECK: the extra `safety` is not installed: pip install --editable '.[safety]'"
        )
    return Guard(
        ChildLooker(),
        settings.content_check,
        settings.content_check_threshold,
        is_fail_closed=settings.content_check_fail_closed,
    )


def rules(settings: Settings) -> Rules:
    """Give the rules by which people are served."""
    return Rules(
        admins=settings.admins,
        access=settings.access,
        allowed=settings.allowed,
        quotas=settings.quotas,
        most_waiting=settings.queue_limit,
        most_in_a_chat=settings.chat_limit,
    )


def backups(settings: Settings, clock: Callable[[], datetime]) -> Backups | None:
    """Give what makes the daily backups; None where none are wanted."""
    if not settings.backup_days:
        return None
    folder = settings.backup_dir or settings.data_dir / "backups"
    return Backups(settings.data_dir, folder, settings.backup_days, clock)


def outlook(
    settings: Settings, files: Files, worker: GpuBackend, postman: Postman, safe: Backups | None
) -> Outlook:
    """Give what the watchman looks at besides the ledger, and whom it tells."""
    return Outlook(
        admins=sorted(settings.admins, key=str),
        wake=postman.wake,
        deaths=worker.deaths,
        disk_free_share=files.free_share,
        backup_trouble=lambda: "" if safe is None else safe.trouble,
    )


def lookout(
    settings: Settings, ledger: Ledger, dials: Dials, clock: Callable[[], datetime]
) -> Lookout | None:
    """Give what answers who asks for figures; None where nobody asked for a port."""
    if settings.metrics_listen is None:
        return None
    return Lookout(Meter(ledger, dials, clock), settings.metrics_listen)


def workers(settings: Settings, environ: Mapping[str, str]) -> GpuBackend:
    """Build what carries out GPU work: one local worker, or one for each card here or of a cluster."""
    command = worker_command(settings)
    if settings.backend == "ray":
        assert settings.ray_address is not None  # noqa: S101 - the settings have checked it
        return RayBackend(settings.ray_address, command[1:], environ)
    if settings.workers == 1:
        return LocalBackend(command, environ)
    # What the environment lets us see is shared out; without that word the cards are counted from 0.
    seen = [card.strip() for card in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if card.strip()]
    cards = seen or [str(number) for number in range(settings.workers)]
    if len(cards) < settings.workers:
        raise SettingsError(
            f"WORKERS: {settings.workers} workers need a card each; CUDA_VISIBLE_DEVICES names {len(cards)}"
        )
    return Fleet(
        LocalBackend(command, {**environ, "CUDA_VISIBLE_DEVICES": card}, AMONG_OTHERS, f"worker {number}")
        for number, card in enumerate(cards[: settings.workers], start=1)
    )


def worker_command(settings: Settings) -> list[str]:
    """Give the command line of the local worker process."""
    command = [sys.executable, "-m", "gpu_worker", "--base-model", settings.base_model]
    command += ["--generate-share", str(settings.generate_share)]
    if settings.train_steps is not None:
        command += ["--train-steps", str(settings.train_steps)]
    if settings.trainer == "sd-scripts":
        command += ["--trainer", settings.trainer, "--sd-scripts-dir", str(settings.sd_scripts_dir)]
        if settings.sd_scripts_python is not None:
            command += ["--sd-scripts-python", str(settings.sd_scripts_python)]
    return command
