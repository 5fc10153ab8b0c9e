"""The parts of the front end that settings decide about."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime

from bot.app.settings import Settings
from bot.app.worker_command import make_worker_command
from bot.chats.console import CONSOLE_IDENTITY
from bot.chats.telegram import Webhook
from bot.core.accounts import AccessRules, Platform
from bot.core.errors import SettingsError
from bot.core.messages import ChatAdapter, LinkableChat
from bot.db import Database
from bot.delivery.direct_messages import DirectMessageSender
from bot.jobs.backends.base import GpuBackend
from bot.jobs.backends.local import POOL_TIMEOUTS, ProcessBackend
from bot.jobs.backends.pool import WorkerPool
from bot.jobs.backends.ray import RayBackend
from bot.media.moderation import Moderator, SandboxedNsfwScorer, is_installed
from bot.media.quality import TRAINED_SIDE_PX
from bot.media.storage import Storage
from bot.ops.daily_backup import DailyBackups
from bot.ops.health_server import HealthServer
from bot.ops.metrics import MetricsExporter, MetricSources
from bot.ops.monitor import HealthInputs
from gpu_worker.protocol import SHIPPED_MODELS, WorkerHealth


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


def find_trained_side_px(health: WorkerHealth | None) -> int:
    """Return the side of the pictures that the base model is trained on; while it is not known, the usual."""
    return TRAINED_SIDE_PX if health is None or not health.native_px else health.native_px


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
        allows_compare=settings.compare,
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
            command,
            # In the driver's order, so that figures are those of the card that a worker computes on.
            {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **environ, "CUDA_VISIBLE_DEVICES": card_id},
            POOL_TIMEOUTS,
            f"worker {number}",
        )
        for number, card_id in enumerate(card_ids[: settings.workers], start=1)
    )
