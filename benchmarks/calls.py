"""How often one message asks the database: `python -m benchmarks.calls`.

Messages reach the real Telegram adapter and use cases one at a time; no job runs, so that nothing else asks.
The two transactions that store an update and mark it processed are not counted.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import drawn
from benchmarks.load.telegram import TOKEN, LoadServer, load_server
from bot.app.root import App, open_app
from bot.app.settings import Settings
from bot.chats.telegram import TelegramAdapter
from bot.core.accounts import Identity, Platform
from bot.core.jobs import JobKind
from bot.db.sqlite.connection import Connection
from bot.jobs.backends.fake import FakeBackend

USER_ID = 7
#: Goals: at most so many calls for what a person does, without the two of the update itself.
GOALS = {"one photo": 8, "the fifth photo": 12, "/generate": 8, "/help": 1}
_INBOX_CALLS = 2
_Result = TypeVar("_Result")


class CallCounter:
    """Counts the calls of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.reads = self.writes = 0
        self._read, self._write = connection.read, connection.write
        # Every query and transaction goes through these two.
        connection.read, connection.write = self._count_read, self._count_write  # type: ignore[method-assign]

    async def _count_read(self, query: Callable[[sqlite3.Connection], _Result]) -> _Result:
        self.reads += 1
        return await self._read(query)

    async def _count_write(self, body: Callable[[sqlite3.Connection], _Result]) -> _Result:
        self.writes += 1
        return await self._write(body)

    async def has_pending_updates(self) -> bool:
        """Return whether an update is stored that was not processed yet; this read is not counted."""
        sql = "SELECT count(*) FROM updates WHERE body IS NOT NULL"
        count: int = await self._read(lambda connection: connection.execute(sql).fetchone()[0])
        return count > 0

    def take(self) -> tuple[int, int]:
        """Return reads and writes since the last time, and start anew."""
        counts = self.reads, self.writes
        self.reads = self.writes = 0
        return counts


@dataclass
class Person:
    """Somebody in their private chat with the bot."""

    server: LoadServer
    counter: CallCounter

    async def send(self, content: dict[str, Any]) -> tuple[int, int]:
        """Send a message; return the reads and writes until it was processed."""
        self.counter.take()
        user = {"id": USER_ID, "is_bot": False, "first_name": "Anna"}
        chat = {"id": USER_ID, "type": "private"}
        message = {"message_id": self.server.next_number(), "date": 1, "chat": chat, "from": user, **content}
        self.server.queue_update({"message": message})
        async with asyncio.timeout(60):
            is_processed = False
            while not is_processed:
                await asyncio.sleep(0.01)
                is_processed = self.counter.writes > 0 and not await self.counter.has_pending_updates()
        reads, writes = self.counter.take()
        return reads, writes - _INBOX_CALLS

    async def send_photo(self, data: bytes) -> tuple[int, int]:
        """Send a photo."""
        name = f"{len(self.server.files)}.jpg"
        self.server.files[name] = data
        size = {"file_id": name, "file_unique_id": name, "width": 256, "height": 256, "file_size": len(data)}
        return await self.send({"photo": [size]})

    async def say(self, text: str) -> tuple[int, int]:
        """Send a command."""
        command = {"type": "bot_command", "offset": 0, "length": len(text.partition(" ")[0])}
        return await self.send({"text": text, "entities": [command]})


@asynccontextmanager
async def open_bot(folder: Path, server: LoadServer) -> AsyncIterator[App]:
    """Run the front end without its dispatcher."""
    settings = Settings(data_dir=folder, telegram_api_url=server.base_url, coach="off", backup_days=0)
    async with open_app(settings, FakeBackend()) as app:
        chat = TelegramAdapter(app.services, TOKEN, settings.telegram_api_url)
        app.chats[chat.platform] = chat
        task = asyncio.create_task(chat.run())
        try:
            yield app
        finally:
            task.cancel()
            await asyncio.wait([task])


async def measure_calls(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the reads and writes of each thing a known person does, without those of the update itself."""
    figures: dict[str, tuple[int, int]] = {}
    async with load_server() as server, open_bot(folder, server) as app:
        account = await app.database.accounts.get_or_create(Identity(Platform.TELEGRAM, str(USER_ID)))
        await app.database.accounts.record_consent(account)
        person = Person(server, CallCounter(app.database._connection))
        for number, photo in enumerate(drawn.sample_photos(11, count=5, side_px=256), 1):
            counts = await person.send_photo(photo)
            if number in (3, 5):
                figures["the fifth photo" if number == 5 else "one photo"] = counts
        job = await app.database.jobs.claim_next(JobKind.TRAIN)
        assert job is not None  # noqa: S101 - five photos have queued it
        await app.database.jobs.finish_training(job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64))
        figures["/generate"] = await person.say(f"/generate {job.code} a boat")
        figures["/help"] = await person.say("/help")
    return figures


def main() -> int:
    """Measure and print a table; 1 where a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure_calls(Path(folder)))
    print(f"{datetime.now(UTC):%Y-%m-%d}: calls of the database\n")
    print(
        "| what a known person does | reads | writes | together | goal |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for name, (reads, writes) in figures.items():
        print(f"| {name} | {reads} | {writes} | {reads + writes} | <= {GOALS[name]} |")
    return int(any(sum(counts) > GOALS[name] for name, counts in figures.items()))


if __name__ == "__main__":
    sys.exit(main())
