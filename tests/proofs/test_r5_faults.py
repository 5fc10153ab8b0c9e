"""R5: the ledger is held by somebody else, or the platform is ill: afterwards everything is done and told."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lo_bot_api_emulator import ApiRefusal

from bot.domain import Identity, Platform
from bot.ledger import Ledger
from tests.acceptance.telegram_server import TelegramServer, telegram_server
from tests.acceptance.telegram_stage import PHOTOS, Person
from tests.integration.studio_desk import consented
from tests.proofs.frame import Proof, forms
from tests.proofs.house import ROOT, utc_now, wrong_with

PROGRAM = Path(__file__).with_name("story_bot.py")
#: A training takes a second.
WITHIN_S = 30.0


@dataclass(frozen=True)
class Scene:
    """A bot of its own: its platform, its person, its folder."""

    server: TelegramServer
    person: Person
    data: Path


async def ledger_is_held(scene: Scene, held_s: float) -> None:
    """Hold the ledger for so long while photos come, as a backup tool or an editor might."""
    with closing(sqlite3.connect(scene.data / "ledger.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await scene.person.sends_photos(PHOTOS[:5])
        await asyncio.sleep(held_s)  # this time is the fault
        other.execute("ROLLBACK")


async def platform_is_ill(scene: Scene, _: float) -> None:
    """Let Telegram fail twice at what tells of the end of a training."""
    for method in ("sendMessage", "sendPhoto"):
        scene.server.refusals[method] = [ApiRefusal("Bad Gateway", 502) for _ in range(2)]
    await scene.person.sends_photos(PHOTOS[:5])


FAULTS: dict[str, Callable[[Scene, float], Awaitable[None]]] = {
    "a held ledger": ledger_is_held,
    "an ill platform": platform_is_ill,
}


@forms("held_s", short=6.0, long=10.0)
async def test_r5_nothing_stops_for_good(proof: Proof, tmp_path: Path, held_s: float) -> None:
    wrong = []
    for number, (name, fault) in enumerate(FAULTS.items()):
        wrong += [f"{name}: {each}" for each in await outlived(tmp_path / str(number), fault, held_s)]
    proof.concludes(f"{len(FAULTS)} faults outlived; the ledger was held for {held_s:.0f} s", wrong)


async def outlived(
    folder: Path, fault: Callable[[Scene, float], Awaitable[None]], held_s: float
) -> list[str]:
    """Let a fault come and go while somebody trains; gives what is wrong afterwards."""
    data = folder / "data"
    data.mkdir(parents=True, mode=0o700)
    ledger = await Ledger.open(data / "ledger.sqlite3", utc_now)
    await consented(ledger, Identity(Platform.TELEGRAM, "7"))
    await ledger.close()
    async with telegram_server() as server:
        person = Person(server, 7)
        with (folder / "log").open("wb") as log:
            bot = await asyncio.create_subprocess_exec(
                *(sys.executable, str(PROGRAM), server.base_url, str(data)),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        try:
            await person.says("/help")
            await person.hears("/train", WITHIN_S)
            await fault(Scene(server, person, data), held_s)
            await person.hears("is ready", WITHIN_S)
            if bot.returncode is not None:
                return [f"the program ended with {bot.returncode}"]
            assert not any(server.refusals.values()), "each failure has come"
        except TimeoutError:
            return [f"nobody heard that the training is ready; the program's end: {bot.returncode}"]
        finally:
            if bot.returncode is None:
                bot.kill()
            await bot.wait()
    return wrong_with(data)
