"""Run the bot or the demo until it ends or is told to."""

from __future__ import annotations

import asyncio
import os
import signal

from bot.app.demo import run_demo
from bot.app.root import serve
from bot.app.settings import Settings
from bot.core.logging import configure_logging


def run(settings: Settings, is_demo: bool) -> int:
    """Run the bot, or the demo; gives the exit status. LoraCodeError in one readable line."""
    configure_logging("WARNING" if is_demo else settings.log_level, settings.log_format)
    asyncio.run(_run_until_stopped(settings, is_demo))
    return 0


async def _run_until_stopped(settings: Settings, is_demo: bool) -> None:
    # discord.py does not handle SIGTERM, and PTB's handling belongs to run_polling: the end is ours to order.
    task = asyncio.ensure_future(run_demo(settings) if is_demo else serve(settings))
    if os.name == "posix":
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
