"""Start LoraCode: `python -m bot`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from bot.app import serve
from bot.demo import demo_then_chat
from bot.errors import LoraCodeError
from bot.redact import set_up_logging
from bot.settings import Settings, read_environ


def main() -> int:
    """Run the bot, or the demo without a token; gives the exit status."""
    try:
        settings = Settings.from_environ(read_environ(os.environ, Path(".env")))
        has_token = settings.telegram_bot_token is not None or settings.discord_bot_token is not None
        set_up_logging(settings.log_level if has_token else "WARNING")
        asyncio.run(_until_told(settings, has_token))
    except LoraCodeError as error:
        sys.stderr.write(f"loracode: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def _until_told(settings: Settings, has_token: bool) -> None:
    # discord.py does not handle SIGTERM, and PTB's handling belongs to run_polling: the end is ours to order.
    work = asyncio.ensure_future(serve(settings) if has_token else demo_then_chat(settings))
    if os.name == "posix":
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        if not work.cancelled():
            raise


if __name__ == "__main__":
    sys.exit(main())
