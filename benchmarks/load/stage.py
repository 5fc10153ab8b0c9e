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
from benchmarks.load.crowd import Crowd, photos
from benchmarks.load.telegram import LoadServer, load_server
from benchmarks.load.watch import Look
from bot.core.accounts import Identity, Platform
from bot.db import Ledger

ROOT = Path(__file__).parents[2]
PROGRAM = "benchmarks.load.bot"
#: Different photos; everybody takes five of them.
PHOTOS = 10
START_S = 120.0


@dataclass
class Stage:
    """A crowd before a running bot."""

    crowd: Crowd
    folder: Path
    bot: asyncio.subprocess.Process

    @property
    def data(self) -> Path:
        """Give the bot's data folder."""
        return self.folder / "data"

    def looks(self) -> list[Look]:
        """Give what the bot said of itself so far."""
        return watch.read(self.folder / "journal")


@asynccontextmanager
async def on_stage(
    folder: Path, people: Iterable[int], train_s: float, generate_s: float
) -> AsyncIterator[Stage]:
    """Start server and bot; `people` have agreed to what their photos must be."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    await _consent(data, people)
    async with load_server() as server:
        crowd = Crowd(server)
        crowd.bring(await asyncio.to_thread(photos, PHOTOS))
        command = [sys.executable, "-m", PROGRAM, server.base_url, str(data), str(folder / "journal")]
        with (folder / "log").open("wb") as log:
            bot = await asyncio.create_subprocess_exec(
                *(*command, str(train_s), str(generate_s)),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        try:
            await _started(bot, server)
            yield Stage(crowd, folder, bot)
        finally:
            if bot.returncode is None:
                bot.terminate()
            await bot.wait()


async def _started(bot: asyncio.subprocess.Process, server: LoadServer) -> None:
    listens, ended = asyncio.ensure_future(server.is_asked.wait()), asyncio.ensure_future(bot.wait())
    try:
        await asyncio.wait([listens, ended], timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        if not listens.done():
            raise RuntimeError(f"the bot did not come to listen; its end: {bot.returncode}")
    finally:
        listens.cancel()
        ended.cancel()


async def _consent(data: Path, people: Iterable[int]) -> None:
    ledger = await Ledger.open(data / "ledger.sqlite3", lambda: datetime.now(UTC))
    try:
        for person in people:
            account = await ledger.account_of(Identity(Platform.TELEGRAM, str(person)))
            await ledger.consent(account)
    finally:
        await ledger.close()
