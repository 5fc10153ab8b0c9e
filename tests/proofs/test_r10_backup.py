"""R10: a backup that is made while people work comes back to the last second."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from bot.core.jobs import JobId
from bot.db import Database
from bot.jobs.backends.local import WorkerTimeouts
from bot.ops import backup
from tests.proofs.invariants import ROOT, House, open_house, utc_now, wrong_with
from tests.proofs.verdict import Proof, forms

WORKER = Path(__file__).with_name("journaling_worker.py")


class Load:
    """People who send photos one after another; knows which trainings the database has acknowledged."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.acknowledged: list[JobId] = []
        self.told_of = asyncio.Event()

    async def go_on(self) -> None:
        while True:
            number = len(self.acknowledged)
            job = await self._house.train(b"steps=4", person=number % 50, of=number)
            self.acknowledged.append(job.id)
            self.told_of.set()

    async def grows(self, by: int) -> None:
        """Wait for so many more."""
        wanted = len(self.acknowledged) + by
        while len(self.acknowledged) < wanted:
            self.told_of.clear()
            await self.told_of.wait()


@forms("rounds", short=3, long=100)
async def test_r10_a_backup_made_under_load_comes_back_to_the_last_second(
    proof: Proof, tmp_path: Path, rounds: int
) -> None:
    wrong, kept = [], 0
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(WORKER), str(tmp_path / "journal")]
    async with open_house(tmp_path / "data", command, environ, WorkerTimeouts()) as house:
        load = Load(house)
        working = asyncio.create_task(load.go_on())
        try:
            for number in range(rounds):
                await load.grows(by=5)
                before = list(load.acknowledged)
                safe, restored = tmp_path / f"safe{number}", tmp_path / f"restored{number}"
                await asyncio.to_thread(backup.create_backup, tmp_path / "data", safe, utc_now())
                assert not working.done(), "people went on meanwhile"
                await asyncio.to_thread(backup.restore, safe, restored, utc_now())
                wrong += wrong_with(restored)
                ledger = await Database.open(restored / "ledger.sqlite3", utc_now)
                try:
                    lost = [each for each in before if await ledger.jobs.get(each) is None]
                finally:
                    await ledger.close()
                kept += len(before) - len(lost)
                wrong += [f"backup {number}: training {each} is not in it" for each in lost]
        finally:
            working.cancel()
            await asyncio.wait([working])
    proof.concludes(
        f"{rounds} backups under load put back: {kept} acknowledged trainings, the last of them, all there",
        wrong,
    )
