"""Times everything that is asked of a large ledger: `python -m benchmarks.ledger --help`.

Builds it once (a gigabyte, some minutes), copies it, and asks the copy. Beside the time of the clock stands
that of the CPU: on a busy machine only the latter is the ledger's own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ledger.bot_process import BotFigures, watch_bot
from benchmarks.ledger.calls import ARGUMENTS
from benchmarks.ledger.filling import Size, fill
from benchmarks.ledger.world import Arguments, World
from benchmarks.percentiles import percentile
from bot.db import Ledger

#: The goals.
CALL_MS, START_S, STATUS_S, MEMORY_MB = 10.0, 2.0, 1.0, 200.0
#: Asked less often: they do a lot each time.
FEW = {"owe_everybody": 3, "compact": 20}
#: Done in many transactions or reads: each of them counts, as others have their turn between two.
IN_STEPS = {"belongings_of", "owe_everybody"}


@dataclass(frozen=True)
class Figure:
    """How long a method took, in milliseconds."""

    name: str
    calls: int
    median_ms: float
    p99_ms: float
    cpu_p99_ms: float


def main(line: Sequence[str] | None = None) -> int:
    """Build, ask, tell; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=100_000, help="at most a fifth of the jobs")
    parser.add_argument("--calls", type=int, default=200, help="of each method (default: 200)")
    parser.add_argument("--only", help="one method")
    parser.add_argument("--no-bot", action="store_true", help="do not start a bot on it")
    parser.add_argument("--dir", type=Path, default=Path("build/bench/ledger"), help="where it is kept")
    asked = parser.parse_args(line)
    asked.dir.mkdir(parents=True, exist_ok=True)
    built, copy = asked.dir / "ledger.sqlite3", asked.dir / "copy" / "ledger.sqlite3"
    size = Size(asked.jobs, asked.accounts)
    for told in fill(built, size):
        _say(told)
    _say(f"{built}: {built.stat().st_size / 1e6:,.0f} MB")
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    shutil.copy(built, copy)
    figures = asyncio.run(ask(copy, size, [asked.only] if asked.only else sorted(ARGUMENTS), asked.calls))
    bot = None
    if not (asked.no_bot or asked.only):
        shutil.copy(built, copy)
        bot = asyncio.run(watch_bot(copy.parent))
    shutil.rmtree(copy.parent)
    told_json = {"figures": [asdict(each) for each in figures], "bot": bot and asdict(bot)}
    (asked.dir / "results.json").write_text(json.dumps(told_json, indent=2) + "\n", "utf-8")
    return report(figures, bot)


async def ask(path: Path, size: Size, names: Sequence[str], calls: int) -> list[Figure]:
    """Ask each method so often."""
    began_s = time.perf_counter()
    ledger = await Ledger.open(path, lambda: datetime.now(UTC))
    _say(f"opened in {time.perf_counter() - began_s:.2f} s")
    world, figures = World(ledger, size), []
    # As the program does at its start: else collections look at everything that stays anyway.
    gc.collect()
    gc.freeze()
    # What tells everybody fills a table that others look at: last.
    for name in sorted(names, key=lambda name: name == "owe_everybody"):
        figures.append(await time_calls(world, name, min(calls, FEW.get(name, calls))))
        _say(f"{name}: {figures[-1].p99_ms:.2f} ms")
    await ledger.close()
    return figures


async def time_calls(world: World, name: str, calls: int) -> Figure:
    """Ask one method so often; what each call needs is made before its clock starts."""
    method, make = getattr(world.ledger, name), ARGUMENTS[name]
    took_ms, cpu_ms = [], []
    for _ in range(calls):
        made: Arguments | Awaitable[Arguments] = make(world)
        arguments = made if isinstance(made, tuple) else await made
        if name in IN_STEPS:
            steps = await steps_of(world.ledger, method(*arguments))
        else:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            await method(*arguments)
            steps = [(time.perf_counter() - began_s, time.process_time() - cpu_s)]
        took_ms += [clock_s * 1000 for clock_s, _ in steps]
        cpu_ms += [own_s * 1000 for _, own_s in steps]
    if name == "claim":
        await world.ledger.release_running()  # nobody has as many cards as calls were made
    return Figure(
        name, len(took_ms), percentile(took_ms, 50), percentile(took_ms, 99), percentile(cpu_ms, 99)
    )


async def steps_of(ledger: Ledger, call: Awaitable[object]) -> list[tuple[float, float]]:
    """Time each transaction or read of a call, in seconds of the clock and of the CPU."""
    connection = ledger._db
    took: list[tuple[float, float]] = []
    read, write = connection.read, connection.write

    def timed(step: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def timed_step(work: Callable[[sqlite3.Connection], object]) -> object:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            result = await step(work)
            took.append((time.perf_counter() - began_s, time.process_time() - cpu_s))
            return result

        return timed_step

    connection.read, connection.write = timed(read), timed(write)  # type: ignore[method-assign, assignment]
    try:
        await call
    finally:
        connection.read, connection.write = read, write  # type: ignore[method-assign]
    return took


def report(figures: Sequence[Figure], bot: BotFigures | None) -> int:
    """Print the slowest methods and the bot's figures beside the goals; 1 when one was missed."""
    _say("\n| method | calls | median | p99 | p99 of CPU |\n| --- | ---: | ---: | ---: | ---: |")
    for each in sorted(figures, key=lambda each: -each.p99_ms)[:15]:
        _say(
            f"| `{each.name}` | {each.calls} | {each.median_ms:.2f} ms | {each.p99_ms:.2f} ms"
            f" | {each.cpu_p99_ms:.2f} ms |"
        )
    slow = [each.name for each in figures if each.p99_ms > CALL_MS]
    cpu_slow = [each.name for each in figures if each.cpu_p99_ms > CALL_MS]
    _say(f"\nunder {CALL_MS:g} ms: {len(figures) - len(slow)} of {len(figures)} methods by the clock,")
    _say(f"{len(figures) - len(cpu_slow)} by the CPU; over: {', '.join(slow) or 'none'}")
    short = bool(slow)
    if bot is not None:
        for name, value, goal in (
            ("start-up, s", bot.start_s, START_S),
            ("start-up, s of CPU", bot.start_cpu_s, START_S),
            ("/status, s", bot.status_s, STATUS_S),
            ("memory of the bot, MB", bot.memory_mb, MEMORY_MB),
        ):
            _say(f"{name}: {value:.2f} (goal: under {goal:g}) {'holds' if value < goal else 'short'}")
            short |= value >= goal
    return int(short)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
