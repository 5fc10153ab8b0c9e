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

from benchmarks.load.crowd import SimulatedUsers, send_training_photos, sleep_until
from benchmarks.load.stage import run_bot
from benchmarks.load.telegram import PendingRequest
from benchmarks.load.watch import LoopSample
from benchmarks.percentiles import strict_percentile
from benchmarks.rows import FigureRow, Goal, format_table

PHOTOS_A_SECOND, WORDS_A_SECOND = 20.0, 2.0
SEED, FIRST = 6, 1000
#: The commands and buttons that are used meanwhile.
SAYINGS = ("/help", "/codes", "/queue", "/settings", "/start", "hello", "press")
SETTLE_S = 120


async def measure_load(folder: Path, duration_s: float) -> list[FigureRow]:
    """Run the load for a time, and return the figures."""
    senders = range(FIRST, FIRST + int(duration_s * PHOTOS_A_SECOND / 5))
    talkers = range(FIRST * 10, FIRST * 10 + 50)
    async with run_bot(folder, (*senders, *talkers), train_s=0.2, generate_s=0.1) as running_bot:
        before_s = _cpu_s(running_bot.bot.pid)
        await asyncio.gather(
            _send_photos(running_bot.users, senders), _send_messages(running_bot.users, talkers, duration_s)
        )
        for _ in range(SETTLE_S):
            if all(pending.answered_at_s is not None for pending in running_bot.users.requests):
                break
            await asyncio.sleep(1.0)
        cpu_s = _cpu_s(running_bot.bot.pid) - before_s
        return make_rows(running_bot.users.requests, running_bot.read_samples(), cpu_s / (5 * len(senders)))


async def _send_photos(users: SimulatedUsers, people: Sequence[int]) -> None:
    start_s, rng = monotonic(), random.Random(SEED)

    async def send_set(number: int, person: int) -> None:
        await sleep_until(start_s + number * 5 / PHOTOS_A_SECOND)
        await send_training_photos(users, person, rng)

    await asyncio.gather(*(send_set(number, person) for number, person in enumerate(people)))


async def _send_messages(users: SimulatedUsers, people: Sequence[int], duration_s: float) -> None:
    start_s, rng = monotonic(), random.Random(SEED)
    for number in range(int(duration_s * WORDS_A_SECOND)):
        await sleep_until(start_s + number / WORDS_A_SECOND)
        # People take turns: two messages of one person within seconds would meet Telegram's limits.
        person, action = people[number % len(people)], rng.choice(SAYINGS)
        if action == "press":
            users.press_button(person, "codes")
        else:
            users.send_text(person, action)


def make_rows(
    requests: Sequence[PendingRequest], samples: Sequence[LoopSample], cpu_s: float
) -> list[FigureRow]:
    """Return the rows of a run."""
    requests_by_kind = {
        "photo": [request for request in requests if request.kind == "photo"],
        "album": [request for request in requests if request.kind == "album"],
        "press": [request for request in requests if request.kind == "press"],
    }
    requests_by_kind["word"] = [request for request in requests if request.kind not in requests_by_kind]
    figure_rows = [
        _make_answer_row(name, [request.response_time_s for request in kind_requests])
        for name, kind_requests in requests_by_kind.items()
    ]
    late_times_s = [sample.late_s for sample in samples]
    busy_times_s = [sample.busy_s for sample in samples]
    figure_rows += [
        _make_loop_row("loop-late", "longest delay of the event loop", late_times_s),
        _make_loop_row("loop-busy", "most CPU time of the event loop at a stretch", busy_times_s),
        FigureRow(
            name="cpu-a-photo",
            what="CPU time per photo, all processes of the bot; two cores have 0.1 s",
            unit="s",
            goal=Goal.parse("<=0.1"),
            value=cpu_s,
        ),
    ]
    return figure_rows


def _make_loop_row(name: str, what: str, times_s: Sequence[float]) -> FigureRow:
    note = f"{strict_percentile(times_s, 99):.3f} s p99"
    return FigureRow(name, what, "s", Goal.parse("<=0.05"), max(times_s), note)


def _make_answer_row(kind: str, took_s: Sequence[float]) -> FigureRow:
    labels = {"album": "first answer to an album, from the end of the pause that shows that it is whole"}
    note = f"n={len(took_s)}, median {strict_percentile(took_s, 50):.3f} s, most {max(took_s):.3f} s"
    label = labels.get(kind, f"first answer to a {kind}")
    return FigureRow(
        f"answer-{kind}-p99", label, "s", Goal.parse("<0.3"), strict_percentile(took_s, 99), note
    )


def _cpu_s(pid: int) -> float:
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.feel", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long people come (default: 60)")
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        figure_rows = asyncio.run(measure_load(Path(folder), args.seconds))
    print("\n".join(row.format_line() for row in figure_rows))
    print(f"\n{format_table(figure_rows)}\n")
    print(f"{os.cpu_count()} cores, load {load:.1f} before, {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
