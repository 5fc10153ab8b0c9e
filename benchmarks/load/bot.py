"""The front end as the program runs it, on a Telegram of ours, watched from inside.

Arguments: API's URL, data folder, journal, seconds of a training, seconds of a picture. Everything is the
program's own but the worker. Each second a line of `Look` goes into the journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec
import psutil

from benchmarks.load.telegram import TOKEN
from benchmarks.load.watch import Look
from bot.app.root import opened, settle
from bot.app.settings import Settings
from bot.chats.telegram import TelegramChat
from bot.core.logging import set_up_logging
from bot.jobs.backends.local import LocalBackend

WORKER = "benchmarks.load.worker"
TICK_S = 0.01
LOOK_S = 1.0


async def main(api_url: str, folder: Path, journal: Path, times: list[str]) -> None:
    """Serve until told to end."""
    settings = Settings(data_dir=folder, telegram_api_url=api_url, coach="off", backup_days=0)
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    backend = LocalBackend([sys.executable, "-m", WORKER, *times], environ)
    async with opened(settings, backend) as app:
        chat = TelegramChat(app.studio, TOKEN, settings.telegram_api_url)
        app.chats[chat.platform] = chat
        settle(app)
        with journal.open("ab") as lines:
            await app.run({chat.platform: chat.run(), "watch": watch(folder, lines.fileno())})


async def watch(folder: Path, journal: int) -> None:
    """Look at the loop at each tick, and write down each second what there was."""
    process, loop = psutil.Process(), asyncio.get_running_loop()
    wal = folder / "ledger.sqlite3-wal"
    while True:
        late_s, busy_s, end_s = 0.0, 0.0, loop.time() + LOOK_S
        while loop.time() < end_s:
            due_s, ran_s = loop.time() + TICK_S, time.thread_time()
            await asyncio.sleep(TICK_S)
            late_s = max(late_s, loop.time() - due_s)
            busy_s = max(busy_s, time.thread_time() - ran_s)
        look = Look(
            at_s=time.monotonic(),
            late_s=late_s,
            busy_s=busy_s,
            memory_bytes=process.memory_info().rss,
            descriptors=process.num_fds(),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
        )
        os.write(journal, msgspec.json.encode(look) + b"\n")


async def until_told(work: asyncio.Task[None]) -> None:
    """End the work at SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()


async def program() -> None:
    """Read the command line and serve."""
    api_url, folder, journal, *times = sys.argv[1:]
    await until_told(asyncio.ensure_future(main(api_url, Path(folder), Path(journal), times)))


if __name__ == "__main__":
    set_up_logging(os.environ.get("LOG_LEVEL", "INFO"), "text")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(program())
