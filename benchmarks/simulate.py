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
from benchmarks.limits import DAY_S
from benchmarks.percentiles import percentile

PEOPLE_PER_DAY = (100, 1_000, 10_000, 100_000, 1_000_000)
#: How much more than in the mean hour comes in the busiest one.
DAILY_SWING = 0.6


@dataclass(frozen=True)
class DailyLoad:
    """What people ask for in a day."""

    people: int
    trainings_per_person: float
    generations_per_person: float
    train_s: float  #: a training alone on a card
    generate_s: float  #: a picture alone on a card

    @property
    def busy_s(self) -> float:
        """Seconds of one card that a day's work takes."""
        return self.people * (
            self.trainings_per_person * self.train_s + self.generations_per_person * self.generate_s
        )


@dataclass(frozen=True)
class SimulatedDay:
    """What came out for one number of people."""

    people: int
    jobs: int
    cards: int
    median_s: float
    p95_s: float
    longest_s: float
    used: float  #: of the cards' time


def draw_arrivals(load: DailyLoad, seed: int) -> list[tuple[float, float]]:
    """Return a random day of jobs as (arrival, duration) in seconds, sorted; evenings are busier."""
    rng = random.Random(seed)
    jobs: list[tuple[float, float]] = []
    for jobs_per_person, duration_s in (
        (load.trainings_per_person, load.train_s),
        (load.generations_per_person, load.generate_s),
    ):
        for _ in range(round(load.people * jobs_per_person)):
            jobs.append((_draw_time_s(rng), duration_s))
    jobs.sort()
    return jobs


def simulate_waits_s(jobs: list[tuple[float, float]], cards: int) -> list[float]:
    """Return the waiting time of each job in seconds: first come, first served, one job per GPU."""
    free_at_s = [0.0] * cards
    waits = []
    for arrived_at_s, duration_s in jobs:
        started_at_s = max(arrived_at_s, free_at_s[0])
        heapq.heapreplace(free_at_s, started_at_s + duration_s)
        waits.append(started_at_s - arrived_at_s)
    return waits


def has_enough_cards(jobs: list[tuple[float, float]], cards: int, limit_s: float) -> bool:
    """Return whether 95 % of the jobs wait less than `limit_s`; stops as soon as they cannot."""
    free_at_s = [0.0] * cards
    late_allowed = len(jobs) - math.ceil(0.95 * len(jobs))
    heapreplace = heapq.heapreplace
    for arrived_at_s, duration_s in jobs:
        free_s = free_at_s[0]
        if free_s <= arrived_at_s:
            heapreplace(free_at_s, arrived_at_s + duration_s)
            continue
        if free_s - arrived_at_s >= limit_s:
            late_allowed -= 1
            if late_allowed < 0:
                return False
        heapreplace(free_at_s, free_s + duration_s)
    return True


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile; 0 for no values."""
    return percentile(values, 95)


def find_card_count(jobs: list[tuple[float, float]], limit_s: float) -> int:
    """Return the smallest number of GPUs with a 95th percentile of waiting below `limit_s`."""
    # With fewer than the mean of the day needs, the line only grows; with the busiest hour's there is none.
    mean_cards = sum(duration_s for _, duration_s in jobs) / DAY_S
    too_few, sufficient = max(0, int(mean_cards * 0.9) - 1), max(1, math.ceil(mean_cards))
    while not has_enough_cards(jobs, sufficient, limit_s):
        too_few, sufficient = sufficient, max(sufficient + 1, round(sufficient * 1.25))
    while sufficient - too_few > 1:
        middle = (too_few + sufficient) // 2
        if has_enough_cards(jobs, middle, limit_s):
            sufficient = middle
        else:
            too_few = middle
    return sufficient


def simulate_day(load: DailyLoad, limit_s: float) -> SimulatedDay:
    """Play a day with as many cards as it needs."""
    jobs = draw_arrivals(load, seed=load.people)
    cards = find_card_count(jobs, limit_s)
    waits = simulate_waits_s(jobs, cards)
    used = load.busy_s / (cards * DAY_S)
    return SimulatedDay(load.people, len(jobs), cards, percentile(waits, 50), p95(waits), max(waits), used)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.simulate", description=__doc__)
    add = parser.add_argument
    add("--train-s", type=_positive, required=True, help="a training alone on the card, in s")
    add("--generate-s", type=_positive, required=True, help="a picture alone on the card, in s")
    add("--trainings-each", type=_positive, default=0.2, help="a person's a day (default: 0.2)")
    add("--generations-each", type=_positive, default=3.0, help="likewise (default: 3)")
    add("--most-people", type=int, default=PEOPLE_PER_DAY[-1], help="skip the rows above")
    add("--limit-s", type=_positive, default=300.0, help="p95 that is aimed at (default: 300)")
    add("--pictures", type=Path, help="a folder to draw cards.svg and limits.svg in")
    return parser.parse_args()


def main() -> None:
    """Print the tables whose main columns are in docs/scale.md, and draw its plots."""
    args = parse_arguments()
    print("| people a day | jobs | cards | wait, median | p95 | longest | card time used |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows, per_person = [], (args.trainings_each, args.generations_each)
    for people in PEOPLE_PER_DAY:
        if people <= args.most_people:
            rows.append(
                simulate_day(DailyLoad(people, *per_person, args.train_s, args.generate_s), args.limit_s)
            )
            print(_format_row(rows[-1]), flush=True)
    demand = limits.DailyDemand(*per_person, args.train_s, args.generate_s)
    # GPUs grow with people, so the largest day bounds every other.
    bottlenecks = limits.list_bottlenecks(demand, rows[-1].cards / rows[-1].people, 1 + DAILY_SWING)
    print("\n| part | its limit | people a day |\n| --- | --- | ---: |")
    for bottleneck in bottlenecks:
        print(f"| {bottleneck.name} | {bottleneck.limit} | {limits.round_people(bottleneck.people):,} |")
    if args.pictures is not None:
        cards = [(row.people, row.cards) for row in rows]
        (args.pictures / "cards.svg").write_text(plot.line("people a day", "cards", cards), "utf-8")
        bars = [(bottleneck.name, limits.round_people(bottleneck.people)) for bottleneck in bottlenecks]
        (args.pictures / "limits.svg").write_text(plot.bars("people a day", bars), "utf-8")


def _format_row(day: SimulatedDay) -> str:
    waits = " | ".join(f"{wait:,.0f} s" for wait in (day.median_s, day.p95_s, day.longest_s))
    return f"| {day.people:,} | {day.jobs:,} | {day.cards:,} | {waits} | {day.used:.0%} |"


def _draw_time_s(rng: random.Random) -> float:
    """Draw a time of the day, in seconds: a sine with its top at 20:00 and its bottom at 8:00."""
    while True:
        time_s = rng.random() * DAY_S
        intensity = 1 + DAILY_SWING * math.sin(2 * math.pi * (time_s / DAY_S - 14 / 24))
        if rng.random() * (1 + DAILY_SWING) < intensity:
            return time_s


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


if __name__ == "__main__":
    main()
