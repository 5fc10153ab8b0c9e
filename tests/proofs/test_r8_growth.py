"""R8: ten times the normal load for twenty minutes, and nothing grows: memory, descriptors, tasks, WAL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.evening import Rates, evening
from benchmarks.load.stage import Stage, on_stage
from benchmarks.load.watch import Look, slope
from tests.proofs.frame import Proof, forms
from tests.proofs.house import until_true

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
    of: Callable[[Look], float]
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
    rates = Rates.of(TIMES_NORMAL)
    async with on_stage(tmp_path, PEOPLE, train_s=0.3, generate_s=0.1) as stage:
        await until_true(lambda: has_looked(stage))
        before = stage.looks()[-1]
        await evening(stage.crowd, PEOPLE, rates, lasts_s, SEED)
        looks = stage.looks()
        # How many are at work depends on the machine; what is left when all is done is a leak.
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                await until_true(lambda: is_at_rest(stage, before), every_s=1.0)
        after = stage.looks()[-1]
        server = stage.crowd.server
        ready = sum(server.chats[each].ready for each in PEOPLE)
        drawn = sum(server.chats[each].results for each in PEOPLE)
    wrong = [f"{crossed}: Telegram's limit" for crossed in server.flood.crossed]
    wrong += [
        f"{each.name}: {max(map(each.of, looks)):.0f}"
        for each in MEASURES
        if max(map(each.of, looks)) > each.most
    ]
    if not is_as(after, before):
        wrong.append("tasks or descriptors are left when all is done")
    figures = f"{lasts_s:.0f} s, {len(stage.crowd.asks)} requests, {ready} trainings, {drawn} pictures, "
    figures += f"{before.tasks} tasks and {before.descriptors} descriptors before, "
    figures += f"{after.tasks} and {after.descriptors} after"
    if lasts_s >= 600:  # a slope over seconds says nothing
        told, grown = growth(looks[int(len(looks) * WARM_UP) :])
        figures, wrong = f"{figures}: {told}", wrong + grown
    proof.concludes(figures, wrong)


async def has_looked(stage: Stage) -> bool:
    return bool(stage.looks())


async def is_at_rest(stage: Stage, before: Look) -> bool:
    return is_as(stage.looks()[-1], before)


def is_as(after: Look, before: Look) -> bool:
    """Whether there is nothing more than before, but connections that are kept and children that decode."""
    return after.tasks <= before.tasks + MORE_TASKS and after.descriptors <= before.descriptors + MORE_FILES


def growth(looks: Sequence[Look]) -> tuple[str, list[str]]:
    """Tell how each measure went, and which grew."""
    times_s = [look.at_s for look in looks]
    told, grown = [], []
    for measure in MEASURES:
        values = [measure.of(look) for look in looks]
        change = slope(times_s, values) * (times_s[-1] - times_s[0])
        told.append(f"{values[0]:.0f} to {values[-1]:.0f} {measure.name} (trend {change:+.1f})")
        if change > measure.grows:
            grown.append(f"{measure.name} grew by {change:.1f}")
    return ", ".join(told), grown
