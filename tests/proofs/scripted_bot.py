"""The front end as the program runs it, on Telegram, with a worker that needs no model: made to be killed.

`scripted_bot.py <api url> <data folder>`: everything is the program's own but the worker, so that a start
costs a second and a training another one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bot.app.root import open_app
from bot.app.settings import Settings
from bot.chats.telegram import RateLimit, RateLimits, TelegramAdapter
from bot.core.logging import configure_logging
from bot.jobs.backends.local import ProcessBackend, WorkerTimeouts
from tests.acceptance.telegram_server import TOKEN

ALBUM_PAUSE_S = 0.3
#: Its people do in seconds what others do in hours.
NO_LIMITS = RateLimits(*(RateLimit(10**6, 1.0, 10**6) for _ in range(3)))
WORKER = Path(__file__).with_name("scripted_worker.py")


def clock_that_may_be_set(path: Path) -> Callable[[], datetime]:
    """The clock, wrong by as many days as a file says, where there is one."""

    def now() -> datetime:
        days = float(path.read_text()) if path.exists() else 0.0
        return datetime.now(UTC) + timedelta(days=days)

    return now


async def main(api_url: str, folder: Path) -> None:
    """Serve until killed, or told to end by the test."""
    settings = Settings(data_dir=folder, telegram_api_url=api_url, coach="off", backup_days=0)
    # Its workers die with it, far more often than any does by itself.
    backend = ProcessBackend([sys.executable, str(WORKER)], os.environ, WorkerTimeouts(min_uptime_s=0.0))
    async with open_app(settings, backend, clock_that_may_be_set(folder.parent / "clock")) as app:
        api_url = settings.telegram_api_url
        chat = TelegramAdapter(
            app.services, TOKEN, api_url, partial(asyncio.sleep, ALBUM_PAUSE_S), limits=NO_LIMITS
        )
        app.chats[chat.platform] = chat
        await app.run({chat.platform: chat.run()})


if __name__ == "__main__":
    configure_logging("DEBUG", os.environ.get("LOG_FORMAT", "text"))
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
