"""The ledger keeps what a platform handed over until it was worked off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.jobs import GenerateWish, TrainWish
from bot.core.loras import LoraCode
from bot.core.messages import asked_by
from bot.core.outbox import Handed
from bot.db import Ledger
from bot.db.updates import MAX_TRIES
from tests.integration.studio_desk import ANNA, ANNAS, Clock
from tests.integration.test_ledger import photos

SAID = Handed(7, ANNA.user_id, '{"text": "a secret lighthouse"}')


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(tmp_path / "ledger.sqlite3", clock)
    yield opened
    await opened.close()


async def test_an_update_is_new_once_also_after_it_was_worked_off(ledger: Ledger) -> None:
    assert await ledger.take_in([SAID]) == {7}
    assert await ledger.take_in([SAID, Handed(8, "1", "{}")]) == {8}
    await ledger.worked_off(7)
    assert await ledger.take_in([SAID]) == set()


async def test_what_was_not_worked_off_is_left_over_in_its_order(ledger: Ledger) -> None:
    await ledger.take_in([Handed(9, "1", "{}"), SAID, Handed(8, "1", "{}")])
    await ledger.worked_off(8)
    assert [each.id for each in await ledger.left_over()] == [7, 9]


async def test_an_update_that_the_bot_keeps_dying_with_is_given_up(ledger: Ledger) -> None:
    await ledger.take_in([SAID])
    for _ in range(MAX_TRIES):
        assert await ledger.left_over() == [SAID]
    assert await ledger.left_over() == []


async def test_numbers_are_forgotten_in_time(ledger: Ledger, clock: Clock) -> None:
    await ledger.take_in([SAID])
    await ledger.worked_off(7)
    clock.forward(days=1)
    await ledger.forget_updates_before(clock() - timedelta(days=2))
    assert await ledger.take_in([SAID]) == set()
    clock.forward(days=2)
    await ledger.forget_updates_before(clock() - timedelta(days=2))
    assert await ledger.take_in([SAID]) == {7}


async def test_whoever_is_forgotten_leaves_no_word_of_what_waits(ledger: Ledger, tmp_path: Path) -> None:
    account = await ledger.account_of(ANNA)
    await ledger.take_in([SAID])
    await ledger.erase_account(account)
    await ledger.compact()
    assert b"lighthouse" not in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*"))
    assert await ledger.left_over() == []


async def test_a_job_knows_what_asked_for_it(ledger: Ledger) -> None:
    account = await ledger.account_of(ANNA)
    with asked_by("telegram:7"):
        training = (await ledger.add_photos(account, photos(0), ANNAS, TrainWish())).job
    assert training is not None
    with asked_by("telegram:8"):
        assert await ledger.job_asked_for() is None
        drawing = await ledger.add_generation(account, LoraCode(training.code), GenerateWish("a boat"), ANNAS)
        assert await ledger.job_asked_for() == drawing
    with asked_by("telegram:7"):
        assert await ledger.job_asked_for() == training
    assert await ledger.job_asked_for() is None
