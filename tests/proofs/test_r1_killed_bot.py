"""R1: `kill -9` of the bot at any moment of people's stories loses nothing, and shows nothing twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.telegram_server import TelegramServer, telegram_server, until
from tests.acceptance.telegram_stage import PHOTOS, Person, code_in
from tests.proofs.frame import Proof, forms
from tests.proofs.house import ROOT, wrong_with

PROGRAM = Path(__file__).with_name("killed_program.py")
AT_ONCE = 3
#: The program lives so long at most before it is killed: its start takes one or two seconds of it.
MAX_LIFE_S = 4.0
FIRST_PERSON = 100
#: What a person must read exactly once.
ONCE = ("Thank you", "is ready")


@dataclass
class Town:
    """People who come one after another, and the program that is killed meanwhile."""

    server: TelegramServer
    folder: Path
    kills_left: int
    luck: random.Random
    people: list[Person] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def be_killed(self) -> None:
        """Start the program, kill it at a moment drawn by lot, and again; the last one lives on."""
        while True:
            environ = {**os.environ, "PYTHONPATH": str(ROOT)}
            arguments = (str(self.folder / "data"), self.server.base_url, str(self.folder / "journal"))
            with (self.folder / "log").open("ab") as log:
                program = await asyncio.create_subprocess_exec(
                    *(sys.executable, str(PROGRAM), *arguments), env=environ, stderr=log
                )
            try:
                if self.kills_left:
                    await asyncio.sleep(self.luck.uniform(0.3, MAX_LIFE_S))  # the moment is the test's input
                else:
                    await program.wait()
                    self.wrong.append("the program ended by itself")
                    return
            finally:
                if program.returncode is None:
                    program.kill()
                await program.wait()
            self.kills_left -= 1

    async def be_visited(self) -> None:
        """One person after another has a LoRA trained and a picture drawn, as long as there are kills."""
        while self.kills_left or not self.people:
            person = Person(self.server, FIRST_PERSON + len(self.people))
            self.people.append(person)
            await self._story(person)

    async def _story(self, person: Person) -> None:
        await person.says("/start")
        await person.presses(await person.hears("Do you agree"), "I agree")
        await person.hears("Thank you")
        await person.sends_photos(PHOTOS[:5])
        code = code_in(await person.hears("is ready"))
        await person.says(f"/generate {code} a boat")
        await until(lambda: [each for each in person.sees if "Again" in str(each.labels)])

    def seen_wrongly(self) -> list[str]:
        """Tell what somebody read twice or never."""
        found = []
        for person in self.people:
            read = Counter(words for each in person.sees for words in ONCE if words in each.text)
            results = [each for each in person.sees if "Again" in str(each.labels)]
            found += [
                f"person {person.id} reads {words!r} {read[words]} times"
                for words in ONCE[:2]
                if read[words] != 1
            ]
            if len(results) != 1:
                found.append(f"person {person.id} has {len(results)} results")
        return found


@forms("kills", short=2, long=1000)
async def test_r1_a_killed_bot_loses_nothing_and_shows_nothing_twice(
    proof: Proof, tmp_path: Path, kills: int
) -> None:
    async with telegram_server() as server:
        town = Town(server, tmp_path, kills, random.Random(1))
        killing = asyncio.create_task(town.be_killed())
        try:
            async with asyncio.timeout(60 + 30 * kills):
                await asyncio.gather(*(town.be_visited() for _ in range(AT_ONCE)))
        except TimeoutError:
            town.wrong.append("somebody waits for ever")
        finally:
            killing.cancel()
            await asyncio.wait([killing])
    shown_twice = town.seen_wrongly()
    figures = f"{kills} kills, {len(town.people)} people with a LoRA and a picture each"
    proof.concludes(
        f"{figures}, {len(shown_twice)} messages twice or never",
        [*town.wrong, *wrong_with(tmp_path / "data"), *shown_twice],
    )
