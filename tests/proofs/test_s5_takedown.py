"""S5: a code that is taken down is gone within a minute, while its job runs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bot.core.jobs import JobStatus
from bot.jobs.backends.local import WorkerTimeouts
from tests.proofs.invariants import ROOT, open_house, wrong_with
from tests.proofs.test_s4_nothing_left import found_in, studio_of
from tests.proofs.verdict import Proof, forms
from tests.support.services import ADMIN

WORKER = Path(__file__).with_name("journaling_worker.py")
WITHIN_S = 60.0


@forms("rounds", short=2, long=200)
async def test_s5_a_code_is_gone_within_a_minute_while_its_job_runs(
    proof: Proof, tmp_path: Path, rounds: int
) -> None:
    wrong, took_s = [], []
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(WORKER), str(tmp_path / "journal")]
    data = tmp_path / "data"
    async with open_house(data, command, environ, WorkerTimeouts()) as house:
        studio = studio_of(house)
        for number in range(rounds):
            job = await house.train(b"steps=100000", person=number, of=10 * number)
            while (await house.now(job)).step < 1:
                await house.told(job)
            began = time.monotonic()
            reply = await studio.run_admin_command(ADMIN, "takedown", job.code)
            took_s.append(time.monotonic() - began)
            if job.code[:4] not in reply.text:
                wrong.append(f"the administrator reads {reply.text!r}")
            if (
                await house.ledger.jobs.get(job.id) is not None
                or await house.ledger.loras.get_by_code(job.code) is not None
            ):
                wrong.append(f"rows of {job.code} are left")
            name = {"the code": job.code.encode()}
            wrong += [each for each in found_in(data, name) if "ledger" not in each]
            following = await house.ended(
                await house.train(b"steps=3", person=1000 + number, of=10 * number + 1)
            )
            if following.status is not JobStatus.DONE:
                wrong.append(f"the next job is {following.status}")
    if max(took_s) > WITHIN_S:
        wrong.append(f"one took {max(took_s):.1f} s")
    figures = f"{rounds} running trainings taken down, the longest in {max(took_s):.2f} s"
    proof.concludes(figures, [*wrong, *wrong_with(data)])
