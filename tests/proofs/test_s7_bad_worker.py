"""S7: whatever a worker says, it is restarted, its job fails with a clear sentence, and the next one runs."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bot.core.jobs import MAX_ATTEMPTS, FailureReason, JobFailure, JobStatus
from bot.jobs.backends.local import WorkerTimeouts
from bot.texts import translate_to
from tests.proofs.bad_worker import BEFORE_READY, LIES
from tests.proofs.invariants import ROOT, open_house, wrong_with
from tests.proofs.verdict import Proof, forms

WORKER = Path(__file__).with_name("bad_worker.py")
PATIENCE = WorkerTimeouts(
    silence_timeout_s=2.0,
    # Long enough to start a Python on a machine that does much besides: else it is ended before it could lie.
    start_timeout_s=30.0,
    ready_timeout_s=30.0,
    cancel_timeout_s=2.0,
    stall_timeout_s=1.0,
    load_timeout_s=1.0,
    min_uptime_s=0.0,
)
#: Of a worker that never gets ready; its job waits in vain, and may fail before it was restarted as often.
OF_NONE = replace(PATIENCE, start_timeout_s=10.0, ready_timeout_s=3.0)
#: More than a pipe and its buffers take in, so that a worker that does not read is noticed.
LARGE = b"large" * 100_000
MAX_GROWTH_BYTES = 200 * 2**20


@dataclass
class Outcome:
    """What came of one lie."""

    lives: int
    shortfalls: list[str]


@forms("rounds", short=1, long=10)
async def test_s7_each_lie_ends_in_a_restart_and_a_clear_failure(
    proof: Proof, tmp_path: Path, rounds: int
) -> None:
    before, lives, shortfalls = held_bytes(), 0, []
    with log_is_not_kept():
        for number in range(rounds):
            # A few at a time: each is a bot with a worker of its own.
            for first in range(0, len(LIES), 5):
                told = [outcome(lie, tmp_path / f"{number}-{lie}") for lie in LIES[first : first + 5]]
                for each in await asyncio.gather(*told):
                    lives += each.lives
                    shortfalls += each.shortfalls
    grown = held_bytes() - before
    if grown > MAX_GROWTH_BYTES:
        shortfalls.append("it grew by more than it may")
    figures = f"{len(LIES)} kinds of lie, {rounds} times each, {lives} restarts, {grown / 1e6:.0f} MB more"
    proof.concludes(figures, shortfalls)


@contextmanager
def log_is_not_kept() -> Iterator[None]:
    """Take away pytest's memory of the log: with a record it holds all that its traceback's frames hold."""
    root = logging.getLogger()
    kept, root.handlers = root.handlers, [logging.NullHandler()]
    try:
        yield
    finally:
        root.handlers = kept


def held_bytes() -> int:
    """Memory of this process once malloc has given back what nobody uses, of all the threads there were."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


async def outcome(lie: str, folder: Path) -> Outcome:
    """Let a worker lie until its job has failed, then be honest."""
    folder.mkdir()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(WORKER), lie, str(folder)]
    patience, least = (OF_NONE, 1) if lie in BEFORE_READY else (PATIENCE, MAX_ATTEMPTS)
    wrong = []
    async with asyncio.timeout(240), open_house(folder / "data", command, environ, patience) as house:
        job = await house.train(LARGE, person=1)
        failed = await house.ended(job)
        if (failed.status, failed.error) != (JobStatus.FAILED, JobFailure(FailureReason.WORKER_CRASHED)):
            wrong.append(f"{lie}: its job is {failed.status}, {failed.error!r}")
        (folder / "honest").touch()
        said = await house.told(failed)
        if sum(translate_to("en", "worker-keeps-dying") in text for text in said) != 1:
            wrong.append(f"{lie}: its person heard {said}")
        following = await house.ended(await house.train(b"steps=3", person=2, of=2))
        if following.status is not JobStatus.DONE:
            wrong.append(f"{lie}: the next job is {following.status}")
    count = len((folder / "lives").read_bytes())
    if count < least:
        wrong.append(f"{lie}: {count} restarts")
    return Outcome(count, wrong + [f"{lie}: {each}" for each in wrong_with(folder / "data")])
