"""The front end as the program runs it, on a Telegram of ours, watched from inside.

Arguments: API's URL, data folder, journal, seconds of a training, seconds of a picture. Everything is the
program's own but the worker. Each second a line of LoopSample goes into the journal.
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
from benchmarks.load.watch import LoopSample
from bot.app.root import open_app, warm_up
from bot.app.settings import Settings
from bot.chats.telegram import TelegramAdapter
from bot.core.logging import configure_logging
from bot.jobs.backends.local import ProcessBackend

WORKER = "benchmarks.load.worker"
TICK_S = 0.01
SAMPLE_INTERVAL_S = 1.0


async def main(api_url: str, folder: Path, journal: Path, times: list[str]) -> None:
    """Serve until told to end."""
    settings = Settings(data_dir=folder, telegram_api_url=api_url, coach="off", backup_days=0)
    environ = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    backend = ProcessBackend([sys.executable, "-m", WORKER, *times], environ)
    async with open_app(settings, backend) as app:
        chat = TelegramAdapter(app.services, TOKEN, settings.telegram_api_url)
        app.chats[chat.platform] = chat
        warm_up(app)
        with journal.open("ab") as lines:
            await app.run({chat.platform: chat.run(), "watch": record_samples(folder, lines.fileno())})


async def record_samples(folder: Path, journal: int) -> None:
    """Look at the loop at each tick, and write down each second what there was."""
    process, loop = psutil.Process(), asyncio.get_running_loop()
    wal = folder / "ledger.sqlite3-wal"
    while True:
        late_s, busy_s, end_s = 0.0, 0.0, loop.time() + SAMPLE_INTERVAL_S
        while loop.time() < end_s:
            due_s, ran_s = loop.time() + TICK_S, time.thread_time()
            await asyncio.sleep(TICK_S)
            late_s = max(late_s, loop.time() - due_s)
            busy_s = max(busy_s, time.thread_time() - ran_s)
        sample = LoopSample(
            at_s=time.monotonic(),
            late_s=late_s,
            busy_s=busy_s,
            memory_bytes=process.memory_info().rss,
            descriptors=process.num_fds(),
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
        )
        os.write(journal, msgspec.json.encode(sample) + b"\n")


async def run_until_terminated(task: asyncio.Task[None]) -> None:
    """End the work at SIGTERM."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def run_program() -> None:
    """Read the command line and serve."""
    api_url, folder, journal, *times = sys.argv[1:]
    await run_until_terminated(asyncio.ensure_future(main(api_url, Path(folder), Path(journal), times)))


if __name__ == "__main__":
    configure_logging(os.environ.get("LOG_LEVEL", "INFO"), "text")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(run_program())
