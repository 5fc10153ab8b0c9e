"""Server and bot, set up and taken down."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import watch
from benchmarks.load.crowd import SimulatedUsers, make_photos
from benchmarks.load.telegram import LoadServer, load_server
from benchmarks.load.watch import LoopSample
from bot.core.accounts import Identity, Platform
from bot.db import Database

ROOT = Path(__file__).parents[2]
PROGRAM = "benchmarks.load.bot"
#: Different photos; everybody takes five of them.
PHOTOS = 10
START_S = 120.0


@dataclass
class RunningBot:
    """A crowd before a running bot."""

    users: SimulatedUsers
    folder: Path
    bot: asyncio.subprocess.Process

    @property
    def data_dir(self) -> Path:
        """Return the bot's data folder."""
        return self.folder / "data"

    def read_samples(self) -> list[LoopSample]:
        """Return what the bot said of itself so far."""
        return watch.read_samples(self.folder / "journal")


@asynccontextmanager
async def run_bot(
    folder: Path, people: Iterable[int], train_s: float, generate_s: float
) -> AsyncIterator[RunningBot]:
    """Start server and bot; `people` have agreed to what their photos must be."""
    data_dir = folder / "data"
    data_dir.mkdir(mode=0o700)
    await _consent(data_dir, people)
    async with load_server() as server:
        users = SimulatedUsers(server)
        users.add_photos(await asyncio.to_thread(make_photos, PHOTOS))
        command = [sys.executable, "-m", PROGRAM, server.base_url, str(data_dir), str(folder / "journal")]
        with (folder / "log").open("wb") as log:
            bot = await asyncio.create_subprocess_exec(
                *(*command, str(train_s), str(generate_s)),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        try:
            await _wait_for_start(bot, server)
            yield RunningBot(users, folder, bot)
        finally:
            if bot.returncode is None:
                bot.terminate()
            await bot.wait()


async def _wait_for_start(bot: asyncio.subprocess.Process, server: LoadServer) -> None:
    listen_task, exit_task = (
        asyncio.ensure_future(server.poll_event.wait()),
        asyncio.ensure_future(bot.wait()),
    )
    try:
        await asyncio.wait([listen_task, exit_task], timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        if not listen_task.done():
            raise RuntimeError(f"the bot did not come to listen; its end: {bot.returncode}")
    finally:
        listen_task.cancel()
        exit_task.cancel()


async def _consent(data_dir: Path, people: Iterable[int]) -> None:
    database = await Database.open(data_dir / "ledger.sqlite3", lambda: datetime.now(UTC))
    try:
        for person in people:
            account = await database.accounts.get_or_create(Identity(Platform.TELEGRAM, str(person)))
            await database.accounts.record_consent(account)
    finally:
        await database.close()
