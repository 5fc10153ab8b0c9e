"""How long people wait and how many cards they need: `python -m benchmarks.simulate --help`.

A discrete-event model of one day of trainings and generations on equal cards. What a job takes is given: it
is measured on the card in question (`make bench`) and never guessed here.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from dataclasses import dataclass

DAY_S = 86_400.0
PEOPLE_A_DAY = (100, 1_000, 10_000, 100_000, 1_000_000)
#: How much more than in the mean hour comes in the busiest one.
SWING = 0.6


@dataclass(frozen=True)
class Load:
    """What people ask for in a day."""

    people: int
    trainings_each: float
    generations_each: float
    train_s: float  #: a training alone on a card
    generate_s: float  #: a picture alone on a card

    @property
    def busy_s(self) -> float:
        """Seconds of one card that a day's work takes."""
        return self.people * (self.trainings_each * self.train_s + self.generations_each * self.generate_s)


def arrivals(load: Load, seed: int) -> list[tuple[float, float]]:
    """Draw a day of jobs, (when it comes, what it takes), in seconds and in order; evenings are busier."""
    dice = random.Random(seed)
    jobs: list[tuple[float, float]] = []
    for each, took_s in ((load.trainings_each, load.train_s), (load.generations_each, load.generate_s)):
        for _ in range(round(load.people * each)):
            jobs.append((_moment(dice), took_s))
    jobs.sort()
    return jobs


def waits_s(jobs: list[tuple[float, float]], cards: int) -> list[float]:
    """Give what each job waits, first come first served, each alone on its card. In seconds, as they came."""
    free_at_s = [0.0] * cards
    waits = []
    for came_at_s, took_s in jobs:
        began_s = max(came_at_s, free_at_s[0])
        heapq.heapreplace(free_at_s, began_s + took_s)
        waits.append(began_s - came_at_s)
    return waits


def p95(values: list[float]) -> float:
    """Give the value that 95 of 100 do not exceed; 0 of none."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def cards_needed(jobs: list[tuple[float, float]], limit_s: float) -> int:
    """Give the fewest cards with which the 95th percentile of waiting stays under `limit_s`."""
    few, enough = 0, 1
    while p95(waits_s(jobs, enough)) >= limit_s:
        few, enough = enough, enough * 2
    while enough - few > 1:
        middle = (few + enough) // 2
        if p95(waits_s(jobs, middle)) < limit_s:
            enough = middle
        else:
            few = middle
    return enough


def main() -> None:
    """Print the table of docs/scale.md."""
    parser = argparse.ArgumentParser(prog="benchmarks.simulate", description=__doc__)
    parser.add_argument("--train-s", type=_positive, required=True, help="a training alone on the card, in s")
    parser.add_argument(
        "--generate-s", type=_positive, required=True, help="a picture alone on the card, in s"
    )
    parser.add_argument(
        "--trainings-each", type=_positive, default=0.2, help="a person's a day (default: 0.2)"
    )
    parser.add_argument("--generations-each", type=_positive, default=3.0, help="likewise (default: 3)")
    parser.add_argument("--most-people", type=int, default=PEOPLE_A_DAY[-1], help="skip the rows above")
    parser.add_argument(
        "--limit-s", type=_positive, default=300.0, help="p95 that is aimed at (default: 300)"
    )
    options = parser.parse_args()
    print("| people a day | jobs | cards | p95 | card time used |\n| ---: | ---: | ---: | ---: | ---: |")
    for people in PEOPLE_A_DAY:
        if people > options.most_people:
            break
        load = Load(
            people, options.trainings_each, options.generations_each, options.train_s, options.generate_s
        )
        jobs = arrivals(load, seed=people)
        cards = cards_needed(jobs, options.limit_s)
        wait_s, used = p95(waits_s(jobs, cards)), load.busy_s / (cards * DAY_S)
        print(f"| {people:,} | {len(jobs):,} | {cards:,} | {wait_s:.0f} s | {used:.0%} |")


def _moment(dice: random.Random) -> float:
    """Draw a time of the day, in seconds: a sine with its top at 20:00 and its bottom at 8:00."""
    while True:
        moment_s = dice.random() * DAY_S
        height = 1 + SWING * math.sin(2 * math.pi * (moment_s / DAY_S - 14 / 24))
        if dice.random() * (1 + SWING) < height:
            return moment_s


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


if __name__ == "__main__":
    main()
