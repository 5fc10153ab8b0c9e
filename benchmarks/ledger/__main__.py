"""Times everything that is asked of a large database: `python -m benchmarks.ledger --help`.

Builds it once (a gigabyte, some minutes), copies it, and asks the copy. Beside the time of the clock stands
that of the CPU: on a busy machine only the latter is the database's own.
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
from operator import attrgetter
from pathlib import Path

from benchmarks.ledger.bot_process import BotTimings, measure_bot
from benchmarks.ledger.calls import MAKE_ARGUMENTS
from benchmarks.ledger.filling import DatabaseSize, fill_database
from benchmarks.ledger.world import Arguments, RandomRecords
from benchmarks.percentiles import percentile
from bot.db import Database

#: The goals.
CALL_MS, START_S, STATUS_S, MEMORY_MB = 10.0, 2.0, 1.0, 200.0
#: Asked less often: they do a lot each time.
CALL_COUNTS = {"outbox.add_broadcast": 3, "checkpoint_wal": 20}
#: Done in many transactions or reads: each of them counts, as others have their turn between two.
MULTI_STEP_METHODS = {"privacy.count_stored_data", "outbox.add_broadcast"}


@dataclass(frozen=True)
class CallTiming:
    """How long a method took, in milliseconds."""

    name: str
    calls: int
    median_ms: float
    p99_ms: float
    cpu_p99_ms: float


def main(argv: Sequence[str] | None = None) -> int:
    """Build, ask, tell; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=100_000, help="at most a fifth of the jobs")
    parser.add_argument("--calls", type=int, default=200, help="of each method (default: 200)")
    parser.add_argument("--only", help="one method, such as jobs.claim_next")
    parser.add_argument("--no-bot", action="store_true", help="do not start a bot on it")
    parser.add_argument("--dir", type=Path, default=Path("build/bench/ledger"), help="where it is kept")
    args = parser.parse_args(argv)
    args.dir.mkdir(parents=True, exist_ok=True)
    database_path, copy_path = args.dir / "ledger.sqlite3", args.dir / "copy" / "ledger.sqlite3"
    size = DatabaseSize(args.jobs, args.accounts)
    for progress_line in fill_database(database_path, size):
        _print_line(progress_line)
    _print_line(f"{database_path}: {database_path.stat().st_size / 1e6:,.0f} MB")
    shutil.rmtree(copy_path.parent, ignore_errors=True)
    copy_path.parent.mkdir()
    shutil.copy(database_path, copy_path)
    timings = asyncio.run(
        time_methods(copy_path, size, [args.only] if args.only else sorted(MAKE_ARGUMENTS), args.calls)
    )
    bot = None
    if not (args.no_bot or args.only):
        shutil.copy(database_path, copy_path)
        bot = asyncio.run(measure_bot(copy_path.parent))
    shutil.rmtree(copy_path.parent)
    document = {"figures": [asdict(timing) for timing in timings], "bot": bot and asdict(bot)}
    (args.dir / "results.json").write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return print_report(timings, bot)


async def time_methods(path: Path, size: DatabaseSize, names: Sequence[str], calls: int) -> list[CallTiming]:
    """Ask each method so often."""
    started_s = time.perf_counter()
    database = await Database.open(path, lambda: datetime.now(UTC))
    _print_line(f"opened in {time.perf_counter() - started_s:.2f} s")
    records, timings = RandomRecords(database, size), []
    # As the program does at its start: else collections look at everything that stays anyway.
    gc.collect()
    gc.freeze()
    # What tells everybody fills a table that others look at: last.
    for name in sorted(names, key=lambda name: name == "outbox.add_broadcast"):
        timings.append(await time_calls(records, name, min(calls, CALL_COUNTS.get(name, calls))))
        _print_line(f"{name}: {timings[-1].p99_ms:.2f} ms")
    await database.close()
    return timings


async def time_calls(records: RandomRecords, name: str, calls: int) -> CallTiming:
    """Ask one method so often; what each call needs is made before its clock starts."""
    method, make_arguments = attrgetter(name)(records.database), MAKE_ARGUMENTS[name]
    times_ms, cpu_ms = [], []
    for _ in range(calls):
        arguments_or_awaitable: Arguments | Awaitable[Arguments] = make_arguments(records)
        arguments = (
            arguments_or_awaitable
            if isinstance(arguments_or_awaitable, tuple)
            else await arguments_or_awaitable
        )
        if name in MULTI_STEP_METHODS:
            steps = await time_steps(records.database, method(*arguments))
        else:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            await method(*arguments)
            steps = [(time.perf_counter() - began_s, time.process_time() - cpu_s)]
        times_ms += [clock_s * 1000 for clock_s, _ in steps]
        cpu_ms += [own_s * 1000 for _, own_s in steps]
    if name == "jobs.claim_next":
        await records.database.jobs.requeue_running()  # nobody has as many cards as calls were made
    return CallTiming(
        name, len(times_ms), percentile(times_ms, 50), percentile(times_ms, 99), percentile(cpu_ms, 99)
    )


async def time_steps(database: Database, call: Awaitable[object]) -> list[tuple[float, float]]:
    """Time each transaction or read of a call, in seconds of the clock and of the CPU."""
    connection = database._connection
    times_s: list[tuple[float, float]] = []
    read, write = connection.read, connection.write

    def wrap_step(step: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def timed_step(work: Callable[[sqlite3.Connection], object]) -> object:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            result = await step(work)
            times_s.append((time.perf_counter() - began_s, time.process_time() - cpu_s))
            return result

        return timed_step

    connection.read, connection.write = wrap_step(read), wrap_step(write)  # type: ignore[method-assign, assignment]
    try:
        await call
    finally:
        connection.read, connection.write = read, write  # type: ignore[method-assign]
    return times_s


def print_report(timings: Sequence[CallTiming], bot: BotTimings | None) -> int:
    """Print the slowest methods and the bot's figures beside the goals; 1 when one was missed."""
    _print_line("\n| method | calls | median | p99 | p99 of CPU |\n| --- | ---: | ---: | ---: | ---: |")
    for timing in sorted(timings, key=lambda timing: -timing.p99_ms)[:15]:
        _print_line(
            f"| `{timing.name}` | {timing.calls} | {timing.median_ms:.2f} ms | {timing.p99_ms:.2f} ms"
            f" | {timing.cpu_p99_ms:.2f} ms |"
        )
    slow_methods = [timing.name for timing in timings if timing.p99_ms > CALL_MS]
    cpu_slow_methods = [timing.name for timing in timings if timing.cpu_p99_ms > CALL_MS]
    _print_line(
        f"\nunder {CALL_MS:g} ms: {len(timings) - len(slow_methods)} of {len(timings)} methods by the clock,"
    )
    _print_line(
        f"{len(timings) - len(cpu_slow_methods)} by the CPU; over: {', '.join(slow_methods) or 'none'}"
    )
    is_missed = bool(slow_methods)
    if bot is not None:
        for name, value, goal in (
            ("start-up, s", bot.start_s, START_S),
            ("start-up, s of CPU", bot.start_cpu_s, START_S),
            ("/status, s", bot.status_s, STATUS_S),
            ("memory of the bot, MB", bot.memory_mb, MEMORY_MB),
        ):
            _print_line(f"{name}: {value:.2f} (goal: under {goal:g}) {'holds' if value < goal else 'short'}")
            is_missed |= value >= goal
    return int(is_missed)


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
