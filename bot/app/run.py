"""Run the bot or the demo until it ends or is told to."""

from __future__ import annotations

import asyncio
import os
import signal

from bot.app.demo import demo_then_chat
from bot.app.root import serve
from bot.app.settings import Settings
from bot.core.logging import set_up_logging


def run(settings: Settings, is_demo: bool) -> int:
    """Run the bot, or the demo; gives the exit status. LoraCodeError in one readable line."""
    set_up_logging("WARNING" if is_demo else settings.log_level, settings.log_format)
    asyncio.run(_until_told(settings, is_demo))
    return 0


async def _until_told(settings: Settings, is_demo: bool) -> None:
    # discord.py does not handle SIGTERM, and PTB's handling belongs to run_polling: the end is ours to order.
    work = asyncio.ensure_future(demo_then_chat(settings) if is_demo else serve(settings))
    if os.name == "posix":
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not work.cancelled():
            raise
