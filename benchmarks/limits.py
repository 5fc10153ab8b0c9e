"""Which part of one bot is at its end first: how many people a day bring it to its limit at the busiest hour.

Limits that are ours are measured (`python -m benchmarks.front_end`, two cores of an AMD EPYC); the platforms'
are what they say of themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_S = 86_400.0
#: Photos through the gate, a second: its two children, each on a core, 0.28 s of CPU for 12 megapixels.
PHOTOS_PER_S = 6.9
#: Photos that the coach looks at, a second: its one child, 0.15 s of CPU each.
ANALYSES_PER_S = 8.7
#: Transactions of the database, a second, each on the disk before it is answered; on a quiet machine.
COMMITS_PER_S = 1_918.0
#: The same on a hard disk: one turn of it, and the way there. Assumed.
DISK_COMMITS_PER_S = 100.0
#: What the platforms take of a bot, a second.
TELEGRAM_PER_S, DISCORD_PER_S = 30.0, 50.0
#: Memory of the process that speaks for a card of a cluster, and what is free for all of them of 16 GB.
RELAY_MB, FREE_MB = 85.0, 12_000.0
#: A message that shows a job's progress is edited, and its step written down, this often at most.
EDIT_S, STEP_S = 4.0, 0.6
#: Requests besides edits: what answers an album, the job's message, the result, its samples.
REQUESTS_PER_TRAINING, REQUESTS_PER_PICTURE = 6, 3
#: Transactions besides steps: photos, consent, queue, begin, end, notices.
COMMITS_PER_TRAINING, COMMITS_PER_PICTURE = 20, 10
PHOTOS_PER_TRAINING = 5


@dataclass(frozen=True)
class DailyDemand:
    """What one person asks for in a day, and what it takes."""

    trainings: float
    pictures: float
    train_s: float
    generate_s: float

    def total(self, per_training: float, per_picture: float) -> float:
        """Add up what comes with each training and each picture."""
        return self.trainings * per_training + self.pictures * per_picture


@dataclass(frozen=True)
class Bottleneck:
    """A part, what it can take, and how many people a day bring it there."""

    name: str
    limit: str
    people: float


def list_bottlenecks(demand: DailyDemand, cards_per_person: float, peak_factor: float) -> list[Bottleneck]:
    """List the parts, the first to break first. `peak`: the busiest hour by the mean one."""
    requests = demand.total(
        REQUESTS_PER_TRAINING + demand.train_s / EDIT_S, REQUESTS_PER_PICTURE + demand.generate_s / EDIT_S
    )
    commits = demand.total(
        COMMITS_PER_TRAINING + demand.train_s / STEP_S, COMMITS_PER_PICTURE + demand.generate_s / STEP_S
    )
    photos = demand.total(PHOTOS_PER_TRAINING, 0)

    def max_people(per_second: float, per_person: float) -> float:
        return per_second * DAY_S / (per_person * peak_factor)

    bottlenecks = [
        Bottleneck("Telegram", f"{TELEGRAM_PER_S:g} requests a second", max_people(TELEGRAM_PER_S, requests)),
        Bottleneck("Discord", f"{DISCORD_PER_S:g} requests a second", max_people(DISCORD_PER_S, requests)),
        Bottleneck("photo coach", f"{ANALYSES_PER_S:g} photos a second", max_people(ANALYSES_PER_S, photos)),
        Bottleneck("photo gate", f"{PHOTOS_PER_S:g} photos a second", max_people(PHOTOS_PER_S, photos)),
        Bottleneck(
            "database on an SSD",
            f"{COMMITS_PER_S:,.0f} transactions a second",
            max_people(COMMITS_PER_S, commits),
        ),
        Bottleneck(
            "database on a hard disk",
            f"{DISK_COMMITS_PER_S:g} transactions a second (assumed)",
            max_people(DISK_COMMITS_PER_S, commits),
        ),
        Bottleneck(
            "relays of a cluster",
            f"{FREE_MB / RELAY_MB:.0f} cards, {RELAY_MB:g} MB each in the bot's machine",
            FREE_MB / RELAY_MB / cards_per_person,
        ),
    ]
    return sorted(bottlenecks, key=lambda bottleneck: bottleneck.people)


def round_people(people: float) -> int:
    """Round to two digits: no more is known."""
    unit = int(10 ** max(0, math.floor(math.log10(people)) - 1))
    return round(people / unit) * unit
