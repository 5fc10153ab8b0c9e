"""How long people wait and how many cards they need: `python -m benchmarks.simulate --help`.

A discrete-event model of one day of trainings and generations on equal cards. What a job takes is given: it
is measured on the card in question (`make bench`) and never guessed here.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import limits, plot
from benchmarks.percentiles import percentile

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


@dataclass(frozen=True)
class Row:
    """What came out for one number of people."""

    people: int
    jobs: int
    cards: int
    median_s: float
    p95_s: float
    longest_s: float
    used: float  #: of the cards' time


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


def is_enough(jobs: list[tuple[float, float]], cards: int, limit_s: float) -> bool:
    """Say whether 95 of 100 jobs wait less than `limit_s`; a day that cannot is not played to its end."""
    free_at_s = [0.0] * cards
    late_allowed = len(jobs) - math.ceil(0.95 * len(jobs))
    replace = heapq.heapreplace
    for came_at_s, took_s in jobs:
        free_s = free_at_s[0]
        if free_s <= came_at_s:
            replace(free_at_s, came_at_s + took_s)
            continue
        if free_s - came_at_s >= limit_s:
            late_allowed -= 1
            if late_allowed < 0:
                return False
        replace(free_at_s, free_s + took_s)
    return True


def p95(values: Sequence[float]) -> float:
    """Give the value that 95 of 100 do not exceed; 0 of none."""
    return percentile(values, 95)


def cards_needed(jobs: list[tuple[float, float]], limit_s: float) -> int:
    """Give the fewest cards with which the 95th percentile of waiting stays under `limit_s`."""
    # With fewer than the mean of the day needs, the line only grows; with the busiest hour's there is none.
    mean = sum(took_s for _, took_s in jobs) / DAY_S
    few, enough = max(0, int(mean * 0.9) - 1), max(1, math.ceil(mean))
    while not is_enough(jobs, enough, limit_s):
        few, enough = enough, max(enough + 1, round(enough * 1.25))
    while enough - few > 1:
        middle = (few + enough) // 2
        if is_enough(jobs, middle, limit_s):
            enough = middle
        else:
            few = middle
    return enough


def row(load: Load, limit_s: float) -> Row:
    """Play a day with as many cards as it needs."""
    jobs = arrivals(load, seed=load.people)
    cards = cards_needed(jobs, limit_s)
    waits = waits_s(jobs, cards)
    used = load.busy_s / (cards * DAY_S)
    return Row(load.people, len(jobs), cards, percentile(waits, 50), p95(waits), max(waits), used)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.simulate", description=__doc__)
    add = parser.add_argument
    add("--train-s", type=_positive, required=True, help="a training alone on the card, in s")
    add("--generate-s", type=_positive, required=True, help="a picture alone on the card, in s")
    add("--trainings-each", type=_positive, default=0.2, help="a person's a day (default: 0.2)")
    add("--generations-each", type=_positive, default=3.0, help="likewise (default: 3)")
    add("--most-people", type=int, default=PEOPLE_A_DAY[-1], help="skip the rows above")
    add("--limit-s", type=_positive, default=300.0, help="p95 that is aimed at (default: 300)")
    add("--pictures", type=Path, help="a folder to draw cards.svg and limits.svg in")
    return parser.parse_args()


def main() -> None:
    """Print the tables of docs/scale.md, and draw its plots."""
    options = arguments()
    print("| people a day | jobs | cards | wait, median | p95 | longest | card time used |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows, each = [], (options.trainings_each, options.generations_each)
    for people in PEOPLE_A_DAY:
        if people <= options.most_people:
            rows.append(row(Load(people, *each, options.train_s, options.generate_s), options.limit_s))
            print(_line(rows[-1]), flush=True)
    person = limits.Person(*each, options.train_s, options.generate_s)
    # Cards grow as people do, so the largest day tells of every other.
    parts = limits.parts(person, rows[-1].cards / rows[-1].people, 1 + SWING)
    print("\n| part | its limit | people a day |\n| --- | --- | ---: |")
    for part in parts:
        print(f"| {part.name} | {part.limit} | {limits.rounded(part.people):,} |")
    if options.pictures is not None:
        cards = [(each.people, each.cards) for each in rows]
        (options.pictures / "cards.svg").write_text(plot.line("people a day", "cards", cards), "utf-8")
        bars = [(part.name, limits.rounded(part.people)) for part in parts]
        (options.pictures / "limits.svg").write_text(plot.bars("people a day", bars), "utf-8")


def _line(found: Row) -> str:
    waits = " | ".join(f"{wait:,.0f} s" for wait in (found.median_s, found.p95_s, found.longest_s))
    return f"| {found.people:,} | {found.jobs:,} | {found.cards:,} | {waits} | {found.used:.0%} |"


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
