"""The database keeps what a platform handed over until it was worked off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.jobs import GenerationParams, TrainingParams
from bot.core.loras import LoraCode
from bot.core.outbox import IncomingUpdate
from bot.db import Database
from bot.db.outbox import MAX_UPDATE_TRIES
from tests.bot.db.test_database import photos
from tests.support.data_dirs import create_data_dir
from tests.support.services import ANNA, ANNAS, Clock

SAID = IncomingUpdate(7, ANNA.user_id, '{"text": "a secret lighthouse"}')


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    create_data_dir(tmp_path)
    opened = await Database.open(tmp_path / "ledger.sqlite3", clock)
    yield opened
    await opened.close()


async def test_an_update_is_new_once_also_after_it_was_worked_off(ledger: Database) -> None:
    assert await ledger.outbox.store_updates([SAID]) == {7}
    assert await ledger.outbox.store_updates([SAID, IncomingUpdate(8, "1", "{}")]) == {8}
    await ledger.outbox.mark_update_processed(7)
    assert await ledger.outbox.store_updates([SAID]) == set()


async def test_unprocessed_updates_stay_in_order(ledger: Database) -> None:
    await ledger.outbox.store_updates([IncomingUpdate(9, "1", "{}"), SAID, IncomingUpdate(8, "1", "{}")])
    await ledger.outbox.mark_update_processed(8)
    assert [each.id for each in await ledger.outbox.list_pending_updates()] == [7, 9]


async def test_an_update_that_the_bot_keeps_dying_with_is_given_up(ledger: Database) -> None:
    await ledger.outbox.store_updates([SAID])
    for _ in range(MAX_UPDATE_TRIES):
        assert await ledger.outbox.list_pending_updates() == [SAID]
    assert await ledger.outbox.list_pending_updates() == []


async def test_update_ids_are_deleted_in_time(ledger: Database, clock: Clock) -> None:
    await ledger.outbox.store_updates([SAID])
    await ledger.outbox.mark_update_processed(7)
    clock.forward(days=1)
    await ledger.outbox.delete_updates_before(clock() - timedelta(days=2))
    assert await ledger.outbox.store_updates([SAID]) == set()
    clock.forward(days=2)
    await ledger.outbox.delete_updates_before(clock() - timedelta(days=2))
    assert await ledger.outbox.store_updates([SAID]) == {7}


async def test_an_erased_person_leaves_no_text_in_waiting_messages(ledger: Database, tmp_path: Path) -> None:
    account = await ledger.accounts.get_or_create(ANNA)
    await ledger.outbox.store_updates([SAID])
    await ledger.privacy.erase_account(account)
    await ledger.checkpoint_wal()
    assert b"lighthouse" not in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.sqlite3*"))
    assert await ledger.outbox.list_pending_updates() == []


async def test_a_job_knows_what_asked_for_it(ledger: Database) -> None:
    account = await ledger.accounts.get_or_create(ANNA)
    added = await ledger.photo_sets.add_photos(account, photos(0), ANNAS, TrainingParams(), "telegram:7")
    training = added.job
    assert training is not None
    assert await ledger.jobs.find_by_idempotency_key("telegram:8") is None
    drawing = await ledger.jobs.add_generation(
        account, LoraCode(training.code), GenerationParams("a boat"), ANNAS, "telegram:8"
    )
    assert await ledger.jobs.find_by_idempotency_key("telegram:8") == drawing
    assert await ledger.jobs.find_by_idempotency_key("telegram:7") == training
    await ledger.jobs.add_generation(account, LoraCode(training.code), GenerationParams("a boat"), ANNAS)
    assert await ledger.jobs.find_by_idempotency_key("") is None, "nobody repeats what has no key"
