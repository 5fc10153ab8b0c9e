"""R8: ten times the normal load for twenty minutes, and nothing grows: memory, descriptors, tasks, WAL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.evening import Rates, evening
from benchmarks.load.stage import on_stage
from benchmarks.load.watch import Look, slope
from tests.proofs.frame import Proof, forms

SEED = 8
PEOPLE = range(1000, 1240)
TIMES_NORMAL = 10.0
#: The first part of a run fills pools and caches.
WARM_UP = 0.25
MIB = 2**20


@dataclass(frozen=True)
class Measure:
    """What must not grow: at most so much over the rest of the run, and never be above `most`."""

    name: str
    of: Callable[[Look], float]
    grows: float
    most: float


MEASURES = (
    Measure("MiB of memory", lambda look: look.memory_bytes / MIB, grows=8.0, most=400.0),
    Measure("descriptors", lambda look: look.descriptors, grows=1.0, most=100.0),
    Measure("tasks", lambda look: look.tasks, grows=1.0, most=200.0),
    Measure("MiB of WAL", lambda look: look.wal_bytes / MIB, grows=1.0, most=64.0),
)


@forms("lasts_s", short=4.0, long=1200.0)
async def test_r8_nothing_grows_under_ten_times_the_normal_load(
    proof: Proof, tmp_path: Path, lasts_s: float
) -> None:
    rates = Rates.of(TIMES_NORMAL)
    async with on_stage(tmp_path, PEOPLE, train_s=0.3, generate_s=0.1) as stage:
        await evening(stage.crowd, PEOPLE, rates, lasts_s, SEED)
        looks = stage.looks()
        server = stage.crowd.server
        ready = sum(server.chats[each].ready for each in PEOPLE)
        drawn = sum(server.chats[each].results for each in PEOPLE)
    wrong = [f"{crossed}: Telegram's limit" for crossed in server.flood.crossed]
    wrong += [
        f"{each.name}: {max(map(each.of, looks)):.0f}"
        for each in MEASURES
        if max(map(each.of, looks)) > each.most
    ]
    figures = f"{lasts_s:.0f} s, {len(stage.crowd.asks)} requests, {ready} trainings, {drawn} pictures"
    if lasts_s >= 600:  # a slope over seconds says nothing
        told, grown = growth(looks[int(len(looks) * WARM_UP) :])
        figures, wrong = f"{figures}: {told}", wrong + grown
    proof.concludes(figures, wrong)


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
