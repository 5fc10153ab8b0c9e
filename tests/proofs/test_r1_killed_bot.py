"""R1: `kill -9` of the bot, at any time: what people were told of is there, and nothing is told twice."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.accounts import Identity, Platform
from bot.db import Database
from tests.acceptance.telegram_server import TelegramServer, telegram_server
from tests.acceptance.telegram_stage import PHOTOS, Person
from tests.proofs.invariants import ROOT, until_true, utc_now, wrong_with
from tests.proofs.verdict import Proof, forms
from tests.support.services import consented

SEED = 20261123
PROGRAM = Path(__file__).with_name("scripted_bot.py")
PEOPLE = range(7, 11)
#: Whoever hears nothing for so long says it again; on a machine that is not busy that is for ever.
PATIENCE_S = 240.0
#: A notice that has not come by then will not.
NOTICE_WITHIN_S = 600.0


@dataclass
class Player:
    """Somebody who trains and draws, again and again; says it once more when no answer comes."""

    person: Person
    chance: random.Random
    held: int = 0  #: photos that the bot said it has, and to which none was added since
    unheard: int = 0  #: how often they had to say it again
    missed: list[str] = field(default_factory=list)  #: notices that never came

    def codes(self) -> set[str]:
        """The codes that the bot ever named to them, as it writes them."""
        texts = [text for message in self.person.sees for text in message.versions]
        return {code for text in texts for code in re.findall(r"\d{4} \d{4}", text)}

    def results(self) -> Counter[int]:
        """How often they see the pictures of a job."""
        actions = [action for message in self.person.sees for _, action in message.buttons]
        return Counter(int(action.partition(":")[2]) for action in actions if action.startswith("again:"))

    def ready(self) -> Counter[str]:
        """How often they read that a code is ready."""
        texts = [message.text for message in self.person.sees]
        return Counter(code for text in texts for code in re.findall(r"(\d{4} \d{4}) is ready", text))

    def cards(self) -> Counter[str]:
        """How many messages show the progress of a training, by its code."""
        card = re.compile(r"(?:LoraCode is|Training) (\d{4} \d{4})")
        shown = [set(card.findall("\n".join(each.versions))) for each in self.person.sees]
        return Counter(code for codes in shown for code in codes)

    async def play(self, stop: asyncio.Event) -> None:
        """Live until told to stop."""
        while not stop.is_set():
            code = await self._train()
            if not await self._hears(lambda: self.ready()[code] > 0, NOTICE_WITHIN_S):  # noqa: B023
                self.missed.append(f"nobody told {self.person.id} that {code} is ready")
            for _ in range(self.chance.choice((1, 2))):
                before = self.results().total()
                while True:
                    await self.person.says(f"/generate {code.replace(' ', '')} a boat")
                    if await self._hears(lambda: self.results().total() > before):  # noqa: B023
                        break
                    self.unheard += 1

    async def _train(self) -> str:
        before = self.codes()
        if self.chance.random() < 0.5:
            await self._send_in_parts(before)
        while not self.codes() - before:
            await self.person.sends_photos(PHOTOS[:5])
            self.unheard += not await self._hears(lambda: bool(self.codes() - before))
        return max(self.codes() - before)

    async def _send_in_parts(self, before: set[str]) -> None:
        heard = self._threes()
        await self.person.sends_photos(PHOTOS[:3])
        if not await self._hears(lambda: self._threes() > heard or bool(self.codes() - before)):
            self.unheard += 1
            return
        self.held = 3 if self._threes() > heard and not self.codes() - before else 0
        await asyncio.sleep(self.chance.uniform(0.0, 2.0))  # people take their time; kills come then too
        self.held = 0
        await self.person.sends_photos(PHOTOS[3:5])
        self.unheard += not await self._hears(lambda: bool(self.codes() - before))

    def _threes(self) -> int:
        return sum("3 of 5" in text for message in self.person.sees for text in message.versions)

    async def _hears(self, heard: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
        async def has_come() -> bool:
            return heard()

        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await until_true(has_come)
                return True
        return False


@dataclass
class Story:
    """People, the bot's folder, and the platform that outlives it."""

    server: TelegramServer
    folder: Path
    players: list[Player]
    lost: list[str] = field(default_factory=list)
    #: Jobs whose end was shown by a bot that was killed before it had noted that: Telegram cannot tell the
    #: next bot, which tells it again (docs/operations.md).
    unnoted: set[int] = field(default_factory=set)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @asynccontextmanager
    async def life(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Let the bot run; it is killed at the end."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(PROGRAM), self.server.base_url, str(self.data)]
        with (self.folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=log)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()

    async def has_spoken_since(self, calls: int) -> bool:
        return self.server.calls > calls

    def look(self) -> None:
        """Compare what the dead bot left with what it had said before it was killed."""
        for player in self.players:
            number = player.person.id
            held = self.ask(
                "SELECT count(*) FROM photos JOIN identities USING (account)"
                " WHERE photos.job IS NULL AND user_id = ?",
                str(number),
            )[0][0]
            if held < player.held:
                self.lost.append(f"{number} was told of {player.held} photos, {held} are there")
        codes = {row[0] for row in self.ask("SELECT code FROM loras")}
        named = {code.replace(" ", "") for player in self.players for code in player.codes()}
        self.lost += [f"the code {code} is gone" for code in named - codes]
        ready = {code.replace(" ", "") for player in self.players for code in player.ready()}
        owed = self.ask(
            "SELECT job, code FROM notices JOIN jobs ON jobs.id = job"
            " WHERE state = 'owed' AND notices.kind = 'train_done'"
        )
        self.unnoted |= {job for job, code in owed if f"{code}" in ready}

    def ask(self, sql: str, *values: str) -> list[tuple[int, ...]]:
        db = sqlite3.connect(self.data / "ledger.sqlite3")
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    async def is_settled(self) -> bool:
        """Whether nothing is to be done any more, and nothing to be told."""
        [(open_jobs,)] = self.ask("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')")
        [(owed,)] = self.ask("SELECT count(*) FROM notices WHERE state = 'owed'")
        return open_jobs == owed == 0

    def told_wrongly(self) -> tuple[list[str], dict[int, str]]:
        """Give the notices of ended jobs that nobody sees, and, by job, those that somebody sees twice."""
        ready = sum((player.ready() for player in self.players), Counter[str]())
        drawn = sum((player.results() for player in self.players), Counter[int]())
        missing, twice = [], {}
        for job, kind, code in self.ask("SELECT id, kind, code FROM jobs WHERE status = 'done'"):
            written = f"{code}"[:4] + " " + f"{code}"[4:]
            seen = ready[written] if f"{kind}" == "train" else drawn[job]
            missing += [f"nobody sees the end of job {job}"] * (seen < 1)
            if seen > 1:
                twice[job] = f"the end of job {job} is shown {seen} times"
        return missing, twice


async def first_training_s(story: Story) -> float:
    """Let somebody have a LoraCode, and tell how long it took here: later lives are at most as long."""
    async with story.life():
        began_at = time.monotonic()
        while not any(player.ready() for player in story.players):
            await asyncio.sleep(0.05)
        return time.monotonic() - began_at


@forms("kills", short=2, long=1000)
async def test_r1_everything_people_were_told_of_outlives_every_kill(
    proof: Proof, tmp_path: Path, kills: int
) -> None:
    chance = random.Random(SEED)
    async with telegram_server() as server:
        people = [Person(server, number) for number in PEOPLE]
        story = Story(server, tmp_path, [Player(each, random.Random(each.id)) for each in people])
        story.data.mkdir(mode=0o700)
        ledger = await Database.open(story.data / "ledger.sqlite3", utc_now)
        await consented(ledger, *(Identity(Platform.TELEGRAM, str(number)) for number in PEOPLE))
        await ledger.close()
        stop = asyncio.Event()
        playing = [asyncio.create_task(player.play(stop)) for player in story.players]
        try:
            longest_s = await first_training_s(story)
            story.look()
            for number in range(kills):
                calls = server.calls
                async with story.life():
                    if number % 5:  # else it may be killed while it starts
                        await until_true(lambda calls=calls: story.has_spoken_since(calls))  # type: ignore[misc]
                    await asyncio.sleep(chance.uniform(0.0, longest_s))
                story.look()
            stop.set()
            async with story.life():
                await asyncio.gather(*playing)
                await until_true(story.is_settled, every_s=0.1)
        finally:
            for task in playing:
                task.cancel()
        missing, twice = story.told_wrongly()
    [(jobs, undone)] = story.ask("SELECT count(*), sum(status != 'done') FROM jobs")
    lost = story.lost + missing + [each for player in story.players for each in player.missed]
    lost += [f"{undone} jobs did not come to a good end"] * bool(undone)
    cards = sum(count - 1 for player in story.players for count in player.cards().values())
    unheard = sum(player.unheard for player in story.players)
    between = [twice.pop(job) for job in sorted(twice.keys() & story.unnoted)]
    proof.concludes(
        f"{kills} kills, each within {longest_s:.1f} s, {jobs} jobs, {len(lost)} lost, "
        f"{len(between)} told twice for a kill between the showing and its note, "
        f"{len(twice)} for another reason, {cards} have a second card, "
        f"{unheard} messages had to be said again",
        [*lost, *twice.values(), *wrong_with(story.data)],
        known=between,
    )
