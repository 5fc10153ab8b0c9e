"""The whole program as an operator runs it, killed without warning and started again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server
from tests.acceptance.telegram_stage import PHOTOS, Person

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def program(server: TelegramServer, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m bot` with a token, its log in a file; killed at the end."""
    environ = {
        **os.environ,
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "TELEGRAM_API_URL": server.base_url,
        "DATA_DIR": str(folder / "data"),
        "BASE_MODEL": "tiny",
        "TRAIN_STEPS": "4",
        "LOG_LEVEL": "DEBUG",
        "PYTHONPATH": str(ROOT),
    }
    environ.pop("DISCORD_BOT_TOKEN", None)
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bot", cwd=folder, env=environ, stdin=asyncio.subprocess.DEVNULL, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_killed_bot_has_its_set_its_queue_and_its_notices_when_it_is_started_again(
    tmp_path: Path,
) -> None:
    async with telegram_server() as server:
        anna, bert = Person(server, 7), Person(server, 8)
        async with program(server, tmp_path):
            for each in (anna, bert):
                await each.says("/start")
                await each.presses(await each.hears("Please confirm"), "I agree")
            await anna.sends_photos(PHOTOS[:3])
            await anna.hears("3 of 5")
            await bert.sends_photos(PHOTOS[:5])
            await bert.hears("LoraCode is")
        async with program(server, tmp_path) as process:
            await bert.hears("is ready,")
            await anna.sends_photos(PHOTOS[3:5])
            await anna.hears("is ready,")
            assert sum("is ready," in each.text for each in bert.sees) == 1
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 60) == 0
    assert "canary" not in (tmp_path / "log").read_text(encoding="utf-8")
