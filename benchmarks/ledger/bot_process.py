"""A bot on a large database, as a process of its own, before a stand-in for Telegram."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

TOKEN = "123456:a-token-of-nobody-that-has-the-right-form"  # noqa: S105 - it is none
#: Nobody of the database: what others are owed in their chats is paced, and would come first.
ADMIN = 999_999_999
#: A bot that does not come up, or does not answer.
_TIMEOUT_S = 300.0
#: Its hourly house-keeping and its backup are over then, on an ordinary machine.
SETTLE_S = 60.0
#: Higher than those of the database, which would have been worked off already.
NEW_UPDATE = 10**9


@dataclass(frozen=True)
class BotTimings:
    """What was seen of the bot."""

    start_s: float  #: from its start to its first question for messages
    start_cpu_s: float  #: of the CPU, until then
    status_s: float  #: from `/status` to its answer
    memory_mb: float  #: at its highest, first backup included


@dataclass
class FakeTelegram:
    """Just enough of it."""

    poll_event: asyncio.Event = field(default_factory=asyncio.Event)
    answer_event: asyncio.Event = field(default_factory=asyncio.Event)
    updates: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    async def handle_request(self, request: web.Request) -> web.Response:
        """Take a request of the bot."""
        method = request.match_info["method"]
        await request.read()
        result: object = True
        if method == "getMe":
            result = {"id": 1, "is_bot": True, "first_name": "Lora", "username": "lora_bot"}
        elif method == "getUpdates":
            self.poll_event.set()
            result = await self._next_updates()
        elif method.startswith(("send", "edit")):
            # With its chart; all else that it sends is owed to others.
            if method == "sendPhoto":
                self.answer_event.set()
            result = {"message_id": 7, "date": 0, "chat": _CHAT, "text": ""}
        return web.json_response({"ok": True, "result": result})

    async def _next_updates(self) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(10):
                return [await self.updates.get()]
        except TimeoutError:
            return []


_CHAT = {"id": ADMIN, "type": "private", "first_name": "Admin"}


def _message(number: int, text: str) -> dict[str, Any]:
    sender = {"id": ADMIN, "is_bot": False, "first_name": "Admin", "language_code": "en"}
    command = [{"type": "bot_command", "offset": 0, "length": len(text)}]
    message = {"message_id": number, "date": int(time.time()), "chat": _CHAT, "from": sender, "text": text}
    return {"update_id": number, "message": {**message, "entities": command}}


async def measure_bot(data_dir: Path) -> BotTimings:
    """Start a bot on a folder, ask it for `/status`, let it live until it has kept house and backed up."""
    telegram = FakeTelegram()
    with closing(sqlite3.connect(data_dir / "ledger.sqlite3")) as db, db:
        # What waits has no files here, and would only fail.
        db.execute("INSERT OR IGNORE INTO switches VALUES ('paused', 0)")
    app = web.Application()
    app.router.add_route("*", f"/bot{TOKEN}/{{method}}", telegram.handle_request)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    started_s = time.perf_counter()
    bot = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot"), env=_environ(data_dir, port), stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await telegram.poll_event.wait()
            start_s, process = time.perf_counter() - started_s, psutil.Process(bot.pid)
            start_cpu_s = sum(process.cpu_times()[:2])
            telegram.updates.put_nowait(_message(NEW_UPDATE, "/status"))
            request_sent_s = time.perf_counter()
            telegram.answer_event.clear()
            await telegram.answer_event.wait()
            status_s = time.perf_counter() - request_sent_s
        await asyncio.sleep(SETTLE_S)
        return BotTimings(start_s, start_cpu_s, status_s, _read_peak_memory_mb(bot.pid))
    finally:
        bot.terminate()
        await bot.wait()
        await runner.cleanup()


def _environ(data_dir: Path, port: int) -> Mapping[str, str]:
    settings = {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": f"http://127.0.0.1:{port}",
        "ADMINS": f"telegram:{ADMIN}",
        "DATA_DIR": str(data_dir),
        "BASE_MODEL": "tiny",
        "LOG_LEVEL": "WARNING",
    }
    return {**os.environ, **settings}


def _read_peak_memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
