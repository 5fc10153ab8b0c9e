"""An evening's hour, many times over: people train, draw and ask, whether they are answered or not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from time import monotonic

from benchmarks.limits import DAY_S
from benchmarks.load.crowd import SimulatedUsers, sleep_until
from benchmarks.simulate import DAILY_SWING

#: The normal load: so many people a day, each with a fifth of a training and three pictures, as
#: `benchmarks.simulate` has them; in the busiest hour.
PEOPLE_PER_DAY, TRAININGS_PER_PERSON, PICTURES_PER_PERSON = 1_000, 0.2, 3.0
#: What people ask for besides, as often as for pictures.
MESSAGES = ("/codes", "/queue", "/help", "/settings", "/privacy", "thank you")


@dataclass(frozen=True)
class ArrivalRates:
    """What comes in a second."""

    trainings: float
    pictures: float

    @classmethod
    def from_load(cls, load_factor: float) -> ArrivalRates:
        """Return so many times the normal load."""
        people_per_s = PEOPLE_PER_DAY * (1 + DAILY_SWING) / DAY_S * load_factor
        return cls(people_per_s * TRAININGS_PER_PERSON, people_per_s * PICTURES_PER_PERSON)


async def run_evening(
    users: SimulatedUsers, people: range, rates: ArrivalRates, duration_s: float, seed: int
) -> None:
    """Run the load for a time."""
    start_s = monotonic()

    def draw_times(rate: float, number: int) -> Iterator[float]:
        rng, offset_s = random.Random(seed + number), 0.0
        while (offset_s := offset_s + rng.expovariate(rate)) < duration_s:
            yield start_s + offset_s

    async def send_trainings() -> None:
        async with asyncio.TaskGroup() as albums:
            for number, time_s in zip(count(), draw_times(rates.trainings, 0), strict=False):
                await sleep_until(time_s)
                albums.create_task(users.send_album(people[number % len(people)], 0, 5))

    async def send_generations() -> None:
        rng = random.Random(seed)
        for time_s in draw_times(rates.pictures, 1):
            await sleep_until(time_s)
            people_with_code = [candidate for candidate in people if users.server.chats[candidate].codes]
            if people_with_code:
                person = rng.choice(people_with_code)
                users.send_text(person, f"/generate {users.server.chats[person].codes[-1]} a boat at sea")

    async def send_messages() -> None:
        rng = random.Random(seed)
        for time_s in draw_times(rates.pictures, 2):
            await sleep_until(time_s)
            users.send_text(rng.choice(people), rng.choice(MESSAGES))

    await asyncio.gather(send_trainings(), send_generations(), send_messages())
