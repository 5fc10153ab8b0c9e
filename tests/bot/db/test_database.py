"""What is written stays written, what is fenced off stays out, what is deleted is gone from the disk."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import AccountId, Identity, Platform
from bot.core.errors import DatabaseError, ReferenceGone
from bot.core.jobs import JobFailure, JobKind, JobStatus, TrainingParams
from bot.core.loras import INSTANCE_TOKENS
from bot.core.photos import NewPhoto
from bot.db import Database
from tests.support.data_dirs import create_data_dir
from tests.support.services import ANNA, ANNAS, BERT, Clock

CANARY = b"canary-photo-bytes-" * 50


def photos(first: int, count: int = 5) -> list[NewPhoto]:
    return [NewPhoto(f"sha{number}", CANARY + str(number).encode()) for number in range(first, first + count)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    create_data_dir(tmp_path)
    opened = await Database.open(tmp_path / "ledger.sqlite3", clock)
    yield opened
    await opened.close()


@pytest.fixture
async def anna(ledger: Database) -> AccountId:
    return await ledger.accounts.get_or_create(ANNA)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_an_identity_keeps_its_account(ledger: Database, anna: AccountId) -> None:
    assert await ledger.accounts.get_or_create(ANNA) == anna
    assert await ledger.accounts.get_or_create(BERT) != anna


async def test_the_fifth_photo_starts_exactly_one_training(ledger: Database, anna: AccountId) -> None:
    for number in range(4):
        assert (
            await ledger.photo_sets.add_photos(anna, photos(number, 1), ANNAS, TrainingParams())
        ).job is None
    added = await ledger.photo_sets.add_photos(anna, photos(4, 1), ANNAS, TrainingParams())
    assert added.job is not None
    assert len(added.job.code) == 8
    assert added.job.code.isdigit()
    assert await ledger.photo_sets.count_collected(anna) == 0
    assert await ledger.photos.get_job_photos(added.job.id) == tuple(photo.stored for photo in photos(0))


async def test_codes_differ_and_keep_their_leading_zeros(ledger: Database, anna: AccountId) -> None:
    codes = set()
    for number in range(40):
        job = (await ledger.photo_sets.add_photos(anna, photos(number * 5), ANNAS, TrainingParams())).job
        assert job is not None
        codes.add(job.code)
    assert len(codes) == 40
    assert all(len(code) == 8 for code in codes)


async def test_an_older_attempt_may_not_write(ledger: Database, anna: AccountId) -> None:
    await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams())
    first = await ledger.jobs.claim_next(JobKind.TRAIN)
    assert first is not None
    await ledger.jobs.requeue_running()
    second = await ledger.jobs.claim_next(JobKind.TRAIN)
    assert second is not None
    assert second.attempt == first.attempt + 1
    assert not await ledger.jobs.record_progress(first.id, first.attempt, 9, 10)
    assert not await ledger.jobs.finish_training(first.id, first.attempt, ("zombie", "x"))
    assert not await ledger.jobs.fail(first.id, first.attempt, JobFailure(sentence="zombie"))
    assert await ledger.jobs.record_lost_attempt(first.id, first.attempt) is None
    assert await ledger.jobs.record_progress(second.id, second.attempt, 1, 10)


async def test_a_cancelled_job_takes_no_more_writes(ledger: Database, anna: AccountId) -> None:
    await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams())
    job = await ledger.jobs.claim_next(JobKind.TRAIN)
    assert job is not None
    assert await ledger.jobs.cancel(job.id) is not None
    assert await ledger.jobs.cancel(job.id) is None
    assert not await ledger.jobs.finish_training(job.id, job.attempt, ("x", "y"))
    assert await ledger.outbox.list_due_notices(10) == []


@pytest.mark.parametrize("ending", ["done", "failed", "cancelled", "forgotten"])
async def test_photos_leave_no_byte_behind(
    ledger: Database, anna: AccountId, tmp_path: Path, ending: str
) -> None:
    if ending == "forgotten":
        await ledger.photo_sets.add_photos(anna, photos(0, 3), ANNAS, TrainingParams())
        assert CANARY in on_disk(tmp_path)
        assert len(await ledger.photo_sets.delete_set(anna)) == 3
    else:
        await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams())
        job = await ledger.jobs.claim_next(JobKind.TRAIN)
        assert job is not None
        assert CANARY in on_disk(tmp_path)
        if ending == "done":
            assert await ledger.jobs.finish_training(job.id, job.attempt, ("x", "y"))
        elif ending == "failed":
            assert await ledger.jobs.fail(job.id, job.attempt, JobFailure(sentence="no"))
        else:
            assert await ledger.jobs.cancel(job.id)
    await ledger.checkpoint_wal()
    assert CANARY not in on_disk(tmp_path)


async def test_photos_are_deleted_a_day_later_though_the_bot_died_meanwhile(
    ledger: Database, clock: Clock, anna: AccountId
) -> None:
    await ledger.photo_sets.add_photos(anna, photos(0, 3), ANNAS, TrainingParams())
    clock.forward(hours=24, seconds=1)
    assert len(await ledger.photo_sets.delete_sets_before(clock.now - timedelta(hours=24))) == 3
    assert await ledger.photo_sets.count_collected(anna) == 0


async def test_photos_older_than_a_week_are_deleted_and_their_training_fails(
    ledger: Database, anna: AccountId, clock: Clock
) -> None:
    job = (await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams())).job
    assert job is not None
    clock.forward(days=6)
    await ledger.photo_sets.add_photos(anna, photos(10, 2), ANNAS, TrainingParams())
    clock.forward(days=2)
    names = await ledger.photos.list_job_hashes(job.id)
    assert await ledger.photos.delete_photos_before(clock() - timedelta(days=7)) == names
    failed = await ledger.jobs.get(job.id)
    assert failed is not None
    assert failed.status is JobStatus.FAILED
    assert await ledger.photo_sets.count_collected(anna) == 2


async def test_rows_are_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    ledger = await Database.open(tmp_path / "ledger.sqlite3", clock)
    anna = await ledger.accounts.get_or_create(ANNA)
    job = (await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams(steps=7, seed=3))).job
    await ledger.photo_sets.add_photos(anna, photos(9, 2), ANNAS, TrainingParams())
    await ledger.close()
    again = await Database.open(tmp_path / "ledger.sqlite3", clock)
    try:
        assert job is not None
        assert await again.jobs.get(job.id) == job
        assert await again.photo_sets.count_collected(await again.accounts.get_or_create(ANNA)) == 2
    finally:
        await again.close()


async def test_a_database_is_held_by_one_process_only(ledger: Database, tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(DatabaseError, match="already running"):
        await Database.open(tmp_path / "ledger.sqlite3", clock)


async def test_a_file_that_is_not_a_database_is_one_clear_line(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseError, match="cannot be used"):
        await Database.open(tmp_path / "ledger.sqlite3", clock)


async def test_a_cancelled_caller_leaves_whole_transactions(ledger: Database, anna: AccountId) -> None:
    chance = random.Random(1)
    for number in range(60):
        task = asyncio.create_task(
            ledger.photo_sets.add_photos(anna, photos(number * 5), ANNAS, TrainingParams())
        )
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    jobs = await ledger.jobs.list_open_for_account(anna)
    assert [len(await ledger.photos.get_job_photos(job.id)) for job in jobs] == [5] * len(jobs)
    assert await ledger.photo_sets.count_collected(anna) == 0


async def test_a_job_does_not_wait_for_itself(ledger: Database, anna: AccountId) -> None:
    jobs = [
        (await ledger.photo_sets.add_photos(anna, photos(n * 5), ANNAS, TrainingParams())).job
        for n in range(3)
    ]
    first, second, third = [job for job in jobs if job is not None]
    assert [(await ledger.jobs.read_queue_state(job.id)).position for job in (first, second, third)] == [
        1,
        2,
        3,
    ]
    await ledger.jobs.claim_next(JobKind.TRAIN)
    assert [(await ledger.jobs.read_queue_state(job.id)).position for job in (first, second, third)] == [
        1,
        2,
        3,
    ]


CRASHER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.jobs import TrainingParams
from bot.core.photos import NewPhoto
from bot.db import Database

async def main():
    ledger = await Database.open(Path(sys.argv[1]), lambda: datetime.now(UTC))
    anna = await ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, "1"))
    place = ChatAddress(Platform.TELEGRAM, "1", "1")
    number = int(sys.argv[2])
    while True:
        photo = NewPhoto(f"sha{number}", b"x" * 20000)
        added = await ledger.photo_sets.add_photos(anna, [photo], place, TrainingParams())
        print(number, added.job.id if added.job else 0, flush=True)
        number += 1

asyncio.run(main())
"""


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    acknowledged: list[int] = []
    for life in range(5):
        command = [sys.executable, "-c", CRASHER, str(path), str(1000 * life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(7 + life):
                acknowledged.append(int(process.stdout.readline().split()[0]))
            process.kill()
            acknowledged += [int(line.split()[0]) for line in process.stdout if line.endswith("\n")]
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        kept = {row[0] for row in db.execute("SELECT sha256 FROM photos")}
        complete = db.execute("SELECT count(*) FROM photos WHERE job IS NOT NULL GROUP BY job").fetchall()
    db.close()
    assert {f"sha{number}" for number in acknowledged} <= kept
    assert set(complete) == {(5,)}


async def test_the_loras_of_an_account_have_tokens_of_their_own(ledger: Database, anna: AccountId) -> None:
    tokens = []
    for number in range(len(INSTANCE_TOKENS) + 1):
        job = (await ledger.photo_sets.add_photos(anna, photos(number * 5), ANNAS, TrainingParams())).job
        assert job is not None
        assert isinstance(job.params, TrainingParams)
        lora = await ledger.loras.get_by_code(job.code)
        assert lora is not None
        assert lora.trigger == job.params.trigger, "the training learns the words that will call it"
        tokens.append(job.params.trigger.token)
    assert tokens == [*INSTANCE_TOKENS, INSTANCE_TOKENS[0]]


async def test_the_token_of_a_cancelled_training_is_free_again(ledger: Database, anna: AccountId) -> None:
    first = (await ledger.photo_sets.add_photos(anna, photos(0), ANNAS, TrainingParams())).job
    assert first is not None
    await ledger.jobs.cancel(first.id)
    second = (await ledger.photo_sets.add_photos(anna, photos(5), ANNAS, TrainingParams())).job
    assert second is not None
    assert second.params == TrainingParams()


def test_identities_read_as_people_write_them() -> None:
    assert str(Identity(Platform.TELEGRAM, "123")) == "telegram:123"


async def test_a_write_that_python_itself_refuses_is_an_error_of_the_database(ledger: Database) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    with pytest.raises(DatabaseError, match="closed database") as caught:
        await ledger._connection.write(refuse)
    assert not isinstance(caught.value, ReferenceGone)
