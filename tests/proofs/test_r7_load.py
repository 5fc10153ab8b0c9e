"""R7: thousands of people send their photos at once: none is lost, all are answered, no limit is crossed."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmarks.load.crowd import SimulatedUsers, send_training_photos, sleep_until
from benchmarks.load.stage import run_bot
from benchmarks.load.telegram import PendingRequest
from benchmarks.percentiles import strict_percentile
from tests.proofs.invariants import until_true, wrong_with
from tests.proofs.verdict import Proof, forms

SEED = 7
FIRST = 1000
PHOTOS_A_SECOND = 20.0
LAST_ANSWER_WITHIN_S = 600.0
ANSWER_WITHIN_S = 0.3


@dataclass(frozen=True)
class Size:
    """How many people, how long they pause between messages, and what a training takes, in seconds.

    In the long form trainings come faster than they are done, so that a long line has to be worked off.
    """

    people: int
    pause_s: float
    train_s: float
    counts_time: bool


@forms("size", short=Size(12, 0.4, 0.05, False), long=Size(5000, 3.0, 0.3, True))
async def test_r7_nothing_is_lost_and_no_limit_crossed_when_thousands_come(
    proof: Proof, tmp_path: Path, size: Size
) -> None:
    people = range(FIRST, FIRST + size.people)
    async with run_bot(tmp_path, people, size.train_s, generate_s=0.1) as stage:
        crowd = stage.users
        await all_send(crowd, people, size.pause_s)
        sent_s = monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWER_WITHIN_S):
                await until_true(lambda: all_heard(crowd, people), every_s=0.1)
        last_s = monotonic() - sent_s
        looks = stage.read_samples()
    unheard = [each for each in people if crowd.server.chats[each].ready_count != 1]
    wrong = [
        f"{each} heard {crowd.server.chats[each].ready_count} times that it is ready" for each in unheard
    ]
    wrong += [f"{ask.kind} was not answered" for ask in crowd.requests if ask.answered_at_s is None]
    wrong += (
        crowd.server.flood_control.violations
        + trainings_missing(stage.data_dir, size.people)
        + wrong_with(stage.data_dir)
    )
    worst_s = strict_percentile([ask.response_time_s for ask in crowd.requests], 99)
    if size.counts_time and worst_s >= ANSWER_WITHIN_S:
        wrong.append(f"the 99th percentile of first answers is {worst_s:.3f} s")
    late_s = strict_percentile([look.late_s for look in looks], 99)
    proof.concludes(
        f"{size.people} people, {5 * size.people} photos at {PHOTOS_A_SECOND:.0f}/s: {len(unheard)} unheard, "
        f"{len(crowd.server.flood_control.violations)} limits crossed, {answers(crowd.requests)}; "
        f"all ready {last_s:.0f} s after the last photo; the loop late by {late_s:.3f} s (p99 of seconds)",
        wrong,
    )


async def all_send(crowd: SimulatedUsers, people: Sequence[int], pause_s: float) -> None:
    """Let everybody send five photos; who comes when is fixed before."""
    start_s, luck = monotonic(), random.Random(SEED)

    async def sends(number: int, person: int) -> None:
        await sleep_until(start_s + number * 5 / PHOTOS_A_SECOND)
        await send_training_photos(crowd, person, luck, pause_s)

    async with asyncio.TaskGroup() as everybody:
        for number, person in enumerate(people):
            everybody.create_task(sends(number, person))


async def all_heard(crowd: SimulatedUsers, people: Sequence[int]) -> bool:
    return all(crowd.server.chats[each].ready_count for each in people)


def answers(asks: Sequence[PendingRequest]) -> str:
    took_s = [ask.response_time_s for ask in asks]
    middle_s, worst_s = strict_percentile(took_s, 50), strict_percentile(took_s, 99)
    return f"first answers {middle_s:.3f} s (median), {worst_s:.3f} s (p99)"


def trainings_missing(data: Path, people: int) -> list[str]:
    with closing(sqlite3.connect(data / "ledger.sqlite3")) as db:
        sql = "SELECT count(*) FROM jobs WHERE kind = 'train' AND status = 'done'"
        (done,) = db.execute(sql).fetchone()
    return [f"{people - done} trainings are not done"] * (done != people)
