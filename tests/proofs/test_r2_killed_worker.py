"""R2: `kill -9` of the worker, at any time: nothing is lost, nothing is told twice, little is done again."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from bot.core.jobs import MAX_ATTEMPTS, FailureReason, Job, JobFailure, JobKind, JobStatus
from bot.core.loras import LoraCode
from bot.jobs.backends.local import ProcessBackend, WorkerTimeouts
from bot.texts import translate_to
from tests.proofs.invariants import ROOT, House, open_house, wrong_with
from tests.proofs.journaling_worker import CHECKPOINT_EVERY_STEPS
from tests.proofs.verdict import Proof, forms

SEED = 20261123
WORKER = Path(__file__).with_name("journaling_worker.py")
OPEN_JOBS = 4
LIMIT_S = 1.0
#: Fewer kills say nothing of how long the slowest of a hundred takes.
ENOUGH_TO_TIME = 100


@dataclass
class Tally:
    """What was asked for, and how long the worker was away."""

    jobs: list[Job] = field(default_factory=list)
    codes: list[LoraCode] = field(default_factory=list)
    away_s: list[float] = field(default_factory=list)


@forms("kills", short=5, long=1000)
async def test_r2_a_killed_worker_costs_at_most_the_steps_since_its_last_checkpoint(
    proof: Proof, tmp_path: Path, kills: int
) -> None:
    tally, journal, data = Tally(), tmp_path / "journal", tmp_path / "data"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Killed far more often than any worker dies by itself, it is not to be waited for longer and longer.
    patience = WorkerTimeouts(min_uptime_s=0.0)
    async with open_house(data, [sys.executable, str(WORKER), str(journal)], environ, patience) as house:
        killing = asyncio.create_task(kill_again_and_again(house, kills, tally))
        await asyncio.gather(keep_busy(house, killing, tally), killing)
        ended = [await house.ended(job) for job in tally.jobs]
        shortfalls = await poisoned(house)
        for job in ended:
            await house.told(job)
        nonces = Counter(nonce for _, _, nonce in house.chat.sent)
    lost = [job for job in ended if job.status is not JobStatus.DONE]
    shortfalls += [f"job {job.id} is {job.status}: {job.error}" for job in lost]
    shortfalls += [f"{nonce} was sent {times} times" for nonce, times in nonces.items() if times > 1]
    redone = steps_done_again(journal)
    most = max(redone, default=0)
    if most > CHECKPOINT_EVERY_STEPS:
        shortfalls.append(f"{most} steps were done again")
    shortfalls += wrong_with(data) + [f"{path.name} was left" for path in (data / "checkpoints").iterdir()]
    slowest_s = quantiles(tally.away_s, n=100)[98] if kills >= ENOUGH_TO_TIME else max(tally.away_s)
    if kills >= ENOUGH_TO_TIME and slowest_s > LIMIT_S:
        shortfalls.append(f"the worker was away for {slowest_s:.2f} s (p99)")
    again = sum(job.attempt > 1 for job in ended)
    proof.concludes(
        f"{kills} kills, {len(ended)} jobs, {again} of them begun again, {len(lost)} lost, "
        f"at most {most} of {CHECKPOINT_EVERY_STEPS} steps redone, back in {median(tally.away_s):.2f} s "
        f"(p50), {slowest_s:.2f} s ({'p99' if kills >= ENOUGH_TO_TIME else 'most'})",
        shortfalls,
    )


async def kill_again_and_again(house: House, kills: int, tally: Tally) -> None:
    """Kill at random times: mostly while it works, sometimes while it starts."""
    chance, backend = random.Random(SEED), house.backend
    assert isinstance(backend, ProcessBackend)
    for number in range(kills):
        if number % 5:
            await ready(backend)
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        while backend._process is None:
            await asyncio.sleep(0.001)
        killed = backend._process
        if killed.returncode is None:
            os.kill(killed.pid, signal.SIGKILL)
        gone_at = time.monotonic()
        while backend._process is killed:
            await asyncio.sleep(0.001)
        if number % 5 != 4:  # else the next kill may come before it is ready
            await ready(backend)
            tally.away_s.append(time.monotonic() - gone_at)


async def ready(backend: ProcessBackend) -> None:
    while backend.pid is None:
        await asyncio.sleep(0.001)


async def keep_busy(house: House, killing: asyncio.Task[None], tally: Tally) -> None:
    """Let there always be trainings and pictures to work on, of many people."""
    chance = random.Random(SEED + 1)
    for number in itertools.count():
        if killing.done():
            return
        person = number % 25
        if tally.codes and chance.random() < 0.5:
            code, owner = tally.codes[-1], person
            tally.jobs.append(await house.generate(code, "on the moon", owner))
        else:
            order = b"steps=%d" % chance.choice((5, 40, 120))
            tally.jobs.append(await house.train(order, person, of=number))
        while len(await still_open(house, tally)) >= OPEN_JOBS and not killing.done():
            await asyncio.sleep(0.01)


async def still_open(house: House, tally: Tally) -> list[Job]:
    latest = [await house.now(job) for job in tally.jobs[-2 * OPEN_JOBS :]]
    tally.codes += [job.code for job in latest if job.kind is JobKind.TRAIN and job.status is JobStatus.DONE][
        -1:
    ]
    return [job for job in latest if job.status in (JobStatus.QUEUED, JobStatus.RUNNING)]


async def poisoned(house: House) -> list[str]:
    """Have a job that kills its worker each time: it fails clearly, and the next one runs."""
    job = await house.train(b"poison", person=98, of=-1)
    following = await house.train(b"steps=5", person=99, of=-2)
    failed, done = await house.ended(job), await house.ended(following)
    wrong = []
    if (failed.status, failed.error, failed.lost_attempts) != (
        JobStatus.FAILED,
        JobFailure(FailureReason.WORKER_CRASHED),
        MAX_ATTEMPTS,
    ):
        wrong.append(
            f"the poisoned job is {failed.status} after {failed.lost_attempts} losses: {failed.error}"
        )
    if done.status is not JobStatus.DONE:
        wrong.append(f"the job after the poisoned one is {done.status}")
    said = [text for text in await house.told(failed) if translate_to("en", "worker-keeps-dying") in text]
    if len(said) != 1:
        wrong.append(f"whose job was poisoned heard of it {len(said)} times")
    return wrong


def steps_done_again(journal: Path) -> list[int]:
    """Give for each attempt after a job's first how many steps it did again."""
    attempts: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for line in journal.read_text().splitlines():
        job, attempt, step = map(int, line.split())
        attempts[job][attempt].append(step)
    again = []
    for of_job in attempts.values():
        furthest = 0
        for _, steps in sorted(of_job.items()):
            again.append(max(0, furthest - min(steps) + 1))
            furthest = max(furthest, *steps)
    return again
