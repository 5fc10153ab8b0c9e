"""An evening's hour, many times over: people train, draw and ask, whether they are answered or not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from time import monotonic

from benchmarks.load.crowd import Crowd, at
from benchmarks.simulate import DAY_S, SWING

#: The normal load: so many people a day, each with a fifth of a training and three pictures, as
#: `benchmarks.simulate` has them; in the busiest hour.
PEOPLE_A_DAY, TRAININGS_EACH, PICTURES_EACH = 1_000, 0.2, 3.0
#: What people ask for besides, as often as for pictures.
WORDS = ("/codes", "/queue", "/help", "/settings", "/privacy", "thank you")


@dataclass(frozen=True)
class Rates:
    """What comes in a second."""

    trainings: float
    pictures: float

    @classmethod
    def of(cls, times_normal: float) -> Rates:
        """Give so many times the normal load."""
        a_second = PEOPLE_A_DAY * (1 + SWING) / DAY_S * times_normal
        return cls(a_second * TRAININGS_EACH, a_second * PICTURES_EACH)


async def evening(crowd: Crowd, people: range, rates: Rates, lasts_s: float, seed: int) -> None:
    """Let people come for so long."""
    start_s = monotonic()

    def moments(rate: float, number: int) -> Iterator[float]:
        dice, when_s = random.Random(seed + number), 0.0
        while (when_s := when_s + dice.expovariate(rate)) < lasts_s:
            yield start_s + when_s

    async def trainings() -> None:
        async with asyncio.TaskGroup() as albums:
            for number, moment_s in zip(count(), moments(rates.trainings, 0), strict=False):
                await at(moment_s)
                albums.create_task(crowd.sends_album(people[number % len(people)], 0, 5))

    async def pictures() -> None:
        dice = random.Random(seed)
        for moment_s in moments(rates.pictures, 1):
            await at(moment_s)
            able = [each for each in people if crowd.server.chats[each].codes]
            if able:
                person = dice.choice(able)
                crowd.says(person, f"/generate {crowd.server.chats[person].codes[-1]} a boat at sea")

    async def words() -> None:
        dice = random.Random(seed)
        for moment_s in moments(rates.pictures, 2):
            await at(moment_s)
            crowd.says(dice.choice(people), dice.choice(WORDS))

    await asyncio.gather(trainings(), pictures(), words())
