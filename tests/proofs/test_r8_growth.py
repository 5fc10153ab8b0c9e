"""R8: ten times the normal load for twenty minutes, and nothing grows: memory, descriptors, tasks, WAL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.evening import ArrivalRates, run_evening
from benchmarks.load.stage import RunningBot, run_bot
from benchmarks.load.watch import LoopSample, median_slope
from tests.proofs.invariants import until_true
from tests.proofs.verdict import Proof, forms

SEED = 8
PEOPLE = range(1000, 1240)
TIMES_NORMAL = 10.0
#: The first part of a run fills pools and caches.
WARM_UP = 0.25
MIB = 2**20
#: Two decoding children with their pipes, and connections to Telegram that are kept for a while.
MORE_TASKS, MORE_FILES = 4, 20
REST_S = 180.0


@dataclass(frozen=True)
class Measure:
    """What must not grow: by at most so much after the warm-up, and never to more than `most`."""

    name: str
    of: Callable[[LoopSample], float]
    grows: float
    most: float


MEASURES = (
    Measure("MiB of memory", lambda look: look.memory_bytes / MIB, grows=8.0, most=400.0),
    Measure("MiB of WAL", lambda look: look.wal_bytes / MIB, grows=1.0, most=64.0),
)


@forms("lasts_s", short=4.0, long=1200.0)
async def test_r8_nothing_grows_under_ten_times_the_normal_load(
    proof: Proof, tmp_path: Path, lasts_s: float
) -> None:
    rates = ArrivalRates.from_load(TIMES_NORMAL)
    async with run_bot(tmp_path, PEOPLE, train_s=0.3, generate_s=0.1) as stage:
        await until_true(lambda: has_looked(stage))
        before = stage.read_samples()[-1]
        await run_evening(stage.users, PEOPLE, rates, lasts_s, SEED)
        looks = stage.read_samples()
        # How many are at work depends on the machine; what is left when all is done is a leak.
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await until_true(lambda: is_at_rest(stage, before), every_s=1.0)
        after = stage.read_samples()[-1]
        server = stage.users.server
        ready = sum(server.chats[each].ready_count for each in PEOPLE)
        drawn = sum(server.chats[each].result_count for each in PEOPLE)
    wrong = [f"{crossed}: Telegram's limit" for crossed in server.flood_control.violations]
    wrong += [
        f"{each.name}: {max(map(each.of, looks)):.0f}"
        for each in MEASURES
        if max(map(each.of, looks)) > each.most
    ]
    if not is_as(after, before):
        wrong.append("tasks or descriptors are left when all is done")
    figures = f"{lasts_s:.0f} s, {len(stage.users.requests)} requests, {ready} trainings, {drawn} pictures, "
    figures += f"{before.tasks} tasks and {before.descriptors} descriptors before, "
    figures += f"{after.tasks} and {after.descriptors} after"
    if lasts_s >= 600:  # a slope over seconds says nothing
        told, grown = growth(looks[int(len(looks) * WARM_UP) :])
        figures, wrong = f"{figures}: {told}", wrong + grown
    proof.concludes(figures, wrong)


async def has_looked(stage: RunningBot) -> bool:
    return bool(stage.read_samples())


async def is_at_rest(stage: RunningBot, before: LoopSample) -> bool:
    return is_as(stage.read_samples()[-1], before)


def is_as(after: LoopSample, before: LoopSample) -> bool:
    """Whether there is nothing more than before, but connections that are kept and children that decode."""
    return after.tasks <= before.tasks + MORE_TASKS and after.descriptors <= before.descriptors + MORE_FILES


def growth(looks: Sequence[LoopSample]) -> tuple[str, list[str]]:
    """Tell how each measure went, and which grew."""
    times_s = [look.at_s for look in looks]
    told, grown = [], []
    for measure in MEASURES:
        values = [measure.of(look) for look in looks]
        change = median_slope(times_s, values) * (times_s[-1] - times_s[0])
        told.append(f"{values[0]:.0f} to {values[-1]:.0f} {measure.name} (trend {change:+.1f})")
        if change > measure.grows:
            grown.append(f"{measure.name} grew by {change:.1f}")
    return ", ".join(told), grown
