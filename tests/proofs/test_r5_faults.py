"""R5: disk, database, clock, network or platform fail for a while: afterwards all is done and told."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.core.accounts import Identity, Platform
from bot.db import Database
from tests.acceptance.telegram_server import TOKEN, TelegramServer, telegram_server
from tests.acceptance.telegram_stage import PHOTOS, Person
from tests.proofs.faulty_network import Line, State, line_to
from tests.proofs.invariants import ROOT, utc_now, wrong_with
from tests.proofs.verdict import Proof, forms
from tests.support.services import consented

PROGRAM = Path(__file__).with_name("scripted_bot.py")
#: A training takes a second; after a fault everything is tried again within half a minute.
WITHIN_S = 120.0
#: Whoever looks after the program starts it again after so long.
RESTART_S = 0.5
DISK_MB = 24
APOLOGY = "something went wrong"


@dataclass
class Scene:
    """A bot, kept running as a service is; its platform and the line to it; its person; its folder."""

    server: TelegramServer
    line: Line
    person: Person
    folder: Path
    fault_s: float
    starts: int = 0
    ends: list[int] = field(default_factory=list)
    trained: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    async def run_for_ever(self) -> None:
        """Start the program, and again whenever it ends."""
        command = (sys.executable, str(PROGRAM), self.line.base_url, str(self.data))
        while True:
            with (self.folder / "log").open("ab") as log:
                bot = await asyncio.create_subprocess_exec(
                    *command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=log
                )
            self.starts += 1
            try:
                self.ends.append(await bot.wait())
            finally:
                if bot.returncode is None:
                    bot.kill()
                    await bot.wait()
            await asyncio.sleep(RESTART_S)

    async def sends_five(self) -> None:
        await self.person.sends_photos(PHOTOS[:5])

    def count(self, words: str) -> int:
        return sum(words in each.text for each in self.person.sees)

    async def hears_more(self, *words: str, than: int) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while sum(self.count(each) for each in words) <= than:
                    await asyncio.sleep(0.05)
                return True
        return False

    async def is_logged(self, pattern: str, since: int) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while not re.search(pattern, self.log[since:]):
                    await asyncio.sleep(0.05)
                return True
        return False


@asynccontextmanager
async def ledger_is_held(scene: Scene) -> AsyncIterator[None]:
    """Hold the database, as a backup tool or an editor might."""
    with closing(sqlite3.connect(scene.data / "ledger.sqlite3", isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def platform_is_ill(scene: Scene) -> AsyncIterator[None]:
    """Let Telegram fail in each of its ways at what asks it and at what tells people."""
    illness = [
        ApiRefusal("Bad Gateway", 502),
        ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1}),
    ]
    for method in ("getUpdates", "getFile", "sendMessage", "sendPhoto"):
        scene.server.refusals[method] = list(illness)
    yield


@asynccontextmanager
async def network(scene: Scene, state: State) -> AsyncIterator[None]:
    scene.line.becomes(state)
    yield
    scene.line.becomes(State.UP)


@asynccontextmanager
async def clock_is_wrong(scene: Scene, days: float) -> AsyncIterator[None]:
    """Set the clock while people wait, and back."""
    clock = scene.folder / "clock"
    clock.write_text(str(days))
    yield
    clock.unlink()


@asynccontextmanager
async def disk_is_full(scene: Scene) -> AsyncIterator[None]:
    """Fill the disk to its last byte."""
    filler = scene.data / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


_LINE = r"(WARNING|ERROR) bot\."
#: What fails, how, and what the log says of it.
FAULTS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "a held ledger": (ledger_is_held, ""),  # it is waited for, and nothing fails
    "an ill platform": (platform_is_ill, _LINE),
    "no network": (lambda scene: network(scene, State.CUT), _LINE),
    "a silent network": (lambda scene: network(scene, State.SILENT), _LINE),
    "half answers": (lambda scene: network(scene, State.HALF), _LINE),
    "a clock a day ahead": (lambda scene: clock_is_wrong(scene, 1.0), ""),
    "a clock a day behind": (lambda scene: clock_is_wrong(scene, -1.0), ""),
    "a full disk": (disk_is_full, _LINE),
}


@forms("fault_s", short=2.0, long=10.0)
async def test_r5_nothing_stops_for_good(proof: Proof, tmp_path: Path, fault_s: float) -> None:
    wrong: list[str] = []
    faults = dict(FAULTS)
    async with on_small_disk(tmp_path / "data") as is_small:
        if not is_small:  # nobody but root may make one; the disk of this machine is not to be filled
            del faults["a full disk"]
        async with scene_on(tmp_path, fault_s) as scene:
            for name, (fault, says) in faults.items():
                wrong += [f"{name}: {each}" for each in await outlived(scene, fault, says)]
            restarts = scene.starts - 1
        wrong += wrong_with(tmp_path / "data")
    skipped = "" if is_small else " (a full disk was not tried: not root)"
    proof.concludes(
        f"{len(faults)} faults of {fault_s:.0f} s outlived, {scene.trained} trainings told, "
        f"{restarts} restarts by whoever looks after it{skipped}",
        wrong,
    )


async def outlived(scene: Scene, fault: Callable[[Scene], object], says: str) -> list[str]:
    """Let a fault come and go while somebody trains; gives what is wrong afterwards."""
    ready, sorry, logged = scene.count("is ready,"), scene.count(APOLOGY), len(scene.log)
    context = fault(scene)
    assert hasattr(context, "__aenter__")
    async with context:
        await scene.sends_five()
        await asyncio.sleep(scene.fault_s)  # this time is the fault
    if not await scene.hears_more("is ready,", APOLOGY, than=ready + sorry):
        return ["nobody heard anything afterwards"]
    if scene.count("is ready,") == ready:  # they were told to try again
        await scene.sends_five()
        if not await scene.hears_more("is ready,", than=ready):
            return ["nobody heard that the training is ready"]
    scene.trained += 1
    if says and not re.search(says, scene.log[logged:]):
        return ["the log says nothing of it"]
    return []


@asynccontextmanager
async def scene_on(folder: Path, fault_s: float) -> AsyncIterator[Scene]:
    """Set a scene, whose bot meets a network that is not there yet."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    ledger = await Database.open(data / "ledger.sqlite3", utc_now)
    await consented(ledger, Identity(Platform.TELEGRAM, "7"))
    await ledger.close()
    async with telegram_server() as server, line_to(server.base_url) as line:
        scene = Scene(server, line, Person(server, 7), folder, fault_s)
        line.becomes(State.CUT)
        running = asyncio.create_task(scene.run_for_ever())
        try:
            (folder / "log").touch()
            assert await scene.is_logged("Telegram cannot be reached", since=0), "no network at the start"
            line.becomes(State.UP)
            await scene.person.says("/help")
            assert await scene.hears_more("/train", than=0)
            yield scene
        finally:
            running.cancel()
            await asyncio.wait([running])


@asynccontextmanager
async def on_small_disk(folder: Path) -> AsyncIterator[bool]:
    """Give a folder a small disk of its own; False where that may not be."""
    folder.mkdir(mode=0o700)
    is_small = await _command("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(folder))
    try:
        yield is_small
    finally:
        if is_small:
            await _command("umount", "-l", str(folder))


async def _command(*command: str) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return await process.wait() == 0


async def test_r5_a_disk_that_cannot_be_written_at_the_start_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with on_small_disk(data) as is_small:
        if not is_small:
            pytest.skip("only root may make a disk that cannot be written")
        assert await _command("mount", "-o", "remount,ro", str(data))
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"),
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "DATA_DIR": str(data),
                "TELEGRAM_BOT_TOKEN": TOKEN,
            },
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        _, said = await program.communicate()
    (line,) = said.decode().strip().splitlines()
    assert line.endswith(f"DATA_DIR: {data} is not writable ({os.strerror(errno.EROFS)}).")
    assert program.returncode
