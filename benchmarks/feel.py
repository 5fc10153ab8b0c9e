"""How the bot feels under load: `python -m benchmarks.feel`.

Twenty photos a second arrive, in albums and one by one, and other people write and press meanwhile. The bot
is the program on a Telegram of this machine; its worker has no model. A figure is one line, as `make bench`
has them. On a busy machine times are its own: `cpu-a-photo` says what a quiet one needs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import psutil

from benchmarks.load.crowd import Crowd, at, trains
from benchmarks.load.stage import on_stage
from benchmarks.load.telegram import Ask
from benchmarks.load.watch import Look
from benchmarks.percentiles import strict_percentile
from benchmarks.rows import Goal, Row, table

PHOTOS_A_SECOND, WORDS_A_SECOND = 20.0, 2.0
SEED, FIRST = 6, 1000
#: What is said and pressed meanwhile.
SAYINGS = ("/help", "/codes", "/queue", "/settings", "/start", "hello", "press")
SETTLE_S = 120


async def measured(folder: Path, lasts_s: float) -> list[Row]:
    """Let people come for so long, and give the figures."""
    senders = range(FIRST, FIRST + int(lasts_s * PHOTOS_A_SECOND / 5))
    talkers = range(FIRST * 10, FIRST * 10 + 50)
    async with on_stage(folder, (*senders, *talkers), train_s=0.2, generate_s=0.1) as stage:
        before_s = _cpu_s(stage.bot.pid)
        await asyncio.gather(_send(stage.crowd, senders), _talk(stage.crowd, talkers, lasts_s))
        for _ in range(SETTLE_S):
            if all(ask.answered_s is not None for ask in stage.crowd.asks):
                break
            await asyncio.sleep(1.0)
        cpu_s = _cpu_s(stage.bot.pid) - before_s
        return rows(stage.crowd.asks, stage.looks(), cpu_s / (5 * len(senders)))


async def _send(crowd: Crowd, people: Sequence[int]) -> None:
    start_s, luck = monotonic(), random.Random(SEED)

    async def sends(number: int, person: int) -> None:
        await at(start_s + number * 5 / PHOTOS_A_SECOND)
        await trains(crowd, person, luck)

    await asyncio.gather(*(sends(number, person) for number, person in enumerate(people)))


async def _talk(crowd: Crowd, people: Sequence[int], lasts_s: float) -> None:
    start_s, luck = monotonic(), random.Random(SEED)
    for number in range(int(lasts_s * WORDS_A_SECOND)):
        await at(start_s + number / WORDS_A_SECOND)
        # One after another: nobody writes twice within seconds, which Telegram's limits would slow down.
        person, what = people[number % len(people)], luck.choice(SAYINGS)
        if what == "press":
            crowd.presses(person, "codes")
        else:
            crowd.says(person, what)


def rows(asks: Sequence[Ask], looks: Sequence[Look], cpu_s: float) -> list[Row]:
    """Make the rows of what was seen."""
    kinds = {
        "photo": [ask for ask in asks if ask.what == "photo"],
        "album": [ask for ask in asks if ask.what == "album"],
        "press": [ask for ask in asks if ask.what == "press"],
    }
    kinds["word"] = [ask for ask in asks if ask.what not in kinds]
    made = [_answer(name, [ask.took_s for ask in asked]) for name, asked in kinds.items()]
    late, busy = [look.late_s for look in looks], [look.busy_s for look in looks]
    under_50_ms = Goal.parse("<=0.05")
    what = "most by which the event loop came too late"
    made.append(
        Row("loop-late", what, "s", under_50_ms, max(late), f"{strict_percentile(late, 99):.3f} s p99")
    )
    what = "most CPU time of the event loop at a stretch, and of a tick of 10 ms"
    made.append(
        Row("loop-busy", what, "s", under_50_ms, max(busy), f"{strict_percentile(busy, 99):.3f} s p99")
    )
    what = "CPU time a photo, all processes of the bot; two cores have 0.1 s"
    made.append(Row("cpu-a-photo", what, "s", Goal.parse("<=0.1"), cpu_s))
    return made


def _answer(kind: str, took_s: Sequence[float]) -> Row:
    what = {"album": "first answer to an album, from the end of the pause that shows that it is whole"}
    note = f"n={len(took_s)}, median {strict_percentile(took_s, 50):.3f} s, most {max(took_s):.3f} s"
    told = what.get(kind, f"first answer to a {kind}")
    return Row(f"answer-{kind}-p99", told, "s", Goal.parse("<0.3"), strict_percentile(took_s, 99), note)


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def main(line: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.feel", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long people come (default: 60)")
    options = parser.parse_args(line)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), options.seconds))
    print("\n".join(row.line() for row in found))
    print(f"\n{table(found)}\n")
    print(f"{os.cpu_count()} cores, load {load:.1f} before, {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
