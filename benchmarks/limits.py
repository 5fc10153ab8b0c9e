"""Which part of one bot is at its end first: how many people a day bring it to its limit at the busiest hour.

Limits that are ours are measured (`python -m benchmarks.front_end`, two cores of an AMD EPYC); the platforms'
are what they say of themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_S = 86_400.0
#: Photos through the gate, a second: its two children, each on a core, 0.28 s of CPU for 12 megapixels.
PHOTOS_A_S = 6.9
#: Photos that the coach looks at, a second: its one child, 0.15 s of CPU each.
LOOKS_A_S = 8.7
#: Transactions of the ledger, a second, each on the disk before it is answered; on a quiet machine.
COMMITS_A_S = 1_918.0
#: The same on a hard disk: one turn of it, and the way there. Assumed.
DISK_COMMITS_A_S = 100.0
#: What the platforms take of a bot, a second.
TELEGRAM_A_S, DISCORD_A_S = 30.0, 50.0
#: Memory of the process that speaks for a card of a cluster, and what is free for all of them of 16 GB.
RELAY_MB, FREE_MB = 85.0, 12_000.0
#: A message that shows a job's progress is edited, and its step written down, this often at most.
EDIT_S, STEP_S = 4.0, 0.6
#: Requests besides edits: what answers an album, the job's message, the result, its samples.
REQUESTS_A_TRAINING, REQUESTS_A_PICTURE = 6, 3
#: Transactions besides steps: photos, consent, queue, begin, end, notices.
COMMITS_A_TRAINING, COMMITS_A_PICTURE = 20, 10
PHOTOS_A_TRAINING = 5


@dataclass(frozen=True)
class Person:
    """What one person asks for in a day, and what it takes."""

    trainings: float
    pictures: float
    train_s: float
    generate_s: float

    def each(self, a_training: float, a_picture: float) -> float:
        """Add up what comes with each training and each picture."""
        return self.trainings * a_training + self.pictures * a_picture


@dataclass(frozen=True)
class Part:
    """A part, what it can take, and how many people a day bring it there."""

    name: str
    limit: str
    people: float


def parts(person: Person, cards_a_person: float, peak: float) -> list[Part]:
    """List the parts, the first to break first. `peak`: the busiest hour by the mean one."""
    requests = person.each(
        REQUESTS_A_TRAINING + person.train_s / EDIT_S, REQUESTS_A_PICTURE + person.generate_s / EDIT_S
    )
    commits = person.each(
        COMMITS_A_TRAINING + person.train_s / STEP_S, COMMITS_A_PICTURE + person.generate_s / STEP_S
    )
    photos = person.each(PHOTOS_A_TRAINING, 0)

    def people(a_second: float, of_each: float) -> float:
        return a_second * DAY_S / (of_each * peak)

    found = [
        Part("Telegram", f"{TELEGRAM_A_S:g} requests a second", people(TELEGRAM_A_S, requests)),
        Part("Discord", f"{DISCORD_A_S:g} requests a second", people(DISCORD_A_S, requests)),
        Part("photo coach", f"{LOOKS_A_S:g} photos a second", people(LOOKS_A_S, photos)),
        Part("photo gate", f"{PHOTOS_A_S:g} photos a second", people(PHOTOS_A_S, photos)),
        Part("ledger on an SSD", f"{COMMITS_A_S:,.0f} transactions a second", people(COMMITS_A_S, commits)),
        Part(
            "ledger on a hard disk",
            f"{DISK_COMMITS_A_S:g} transactions a second (assumed)",
            people(DISK_COMMITS_A_S, commits),
        ),
        Part(
            "relays of a cluster",
            f"{FREE_MB / RELAY_MB:.0f} cards, {RELAY_MB:g} MB each in the bot's machine",
            FREE_MB / RELAY_MB / cards_a_person,
        ),
    ]
    return sorted(found, key=lambda part: part.people)


def rounded(people: float) -> int:
    """Round to two digits: no more is known."""
    unit = int(10 ** max(0, math.floor(math.log10(people)) - 1))
    return round(people / unit) * unit
