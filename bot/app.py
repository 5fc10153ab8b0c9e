"""The composition root of the front end: builds every part, hands each what it needs, runs them together."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.dispatcher import Dispatcher
from bot.domain import Platform
from bot.files import Files
from bot.ledger import Ledger
from bot.notifier import Notifier
from bot.replies import Chat
from bot.schedule import Schedule
from bot.settings import Settings
from bot.studio import Studio

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Tell the time, in UTC."""
    return datetime.now(UTC)


def worker_command(settings: Settings) -> list[str]:
    """Give the command line of the local worker process."""
    command = [sys.executable, "-m", "gpu_worker", "--base-model", settings.base_model]
    if settings.train_steps is not None:
        command += ["--train-steps", str(settings.train_steps)]
    return command


@dataclass(frozen=True, slots=True)
class App:
    """Every part of a running front end."""

    settings: Settings
    ledger: Ledger
    files: Files
    studio: Studio
    dispatcher: Dispatcher
    notifier: Notifier
    schedule: Schedule
    chats: dict[Platform, Chat]

    async def run(self, runners: Sequence[tuple[str, object]] = ()) -> None:
        """Run until the first part ends; a part that fails ends the whole with its error."""
