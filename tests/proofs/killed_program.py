"""The front end on Telegram's API with a fake worker behind, as a program of its own that can be killed.

`killed_program.py <data folder> <address of the Bot API> <journal of the worker>`
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bot.app import opened
from bot.backends.local import LocalBackend
from bot.chats.telegram import TelegramChat
from bot.settings import Settings
from tests.acceptance.telegram_server import TOKEN

WORKER = Path(__file__).with_name("steady_worker.py")


async def main(data: Path, address: str, journal: str) -> None:
    """Be the bot until killed."""
    settings = Settings(data_dir=data, telegram_api_url=address, coach="off")
    backend = LocalBackend([sys.executable, str(WORKER), journal], dict(os.environ))
    async with opened(settings, backend) as app:
        chat = TelegramChat(app.studio, TOKEN, settings.telegram_api_url, 0.2)
        app.chats[chat.platform] = chat
        await app.run({"telegram": chat.run()})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
