"""What a message depends on is read at once, and writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.core.accounts import AccessStatus, Identity, PendingQuestion, Platform, Preferences, Quota, Role
from bot.core.jobs import PAUSED_SWITCH, Draft, GenerationParams, JobKind, TrainingParams
from bot.db import Database
from tests.bot.db.test_database import photos
from tests.support.data_dirs import create_data_dir
from tests.support.services import ANNA, ANNAS, BERT, Clock

GUEST = AccessStatus(Role.GUEST, Quota(), is_banned=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(tmp_path: Path, clock: Clock) -> AsyncIterator[Database]:
    create_data_dir(tmp_path)
    opened = await Database.open(tmp_path / "ledger.sqlite3", clock)
    yield opened
    await opened.close()


async def trace(database: Database, statements: list[str]) -> None:
    await database._connection.read(lambda connection: connection.set_trace_callback(statements.append))


def writes(statements: list[str]) -> list[str]:
    return [each for each in statements if not each.lstrip().startswith(("SELECT", "--"))]


async def test_an_unknown_identity_is_a_guest_and_gets_no_account(database: Database) -> None:
    state = await database.access.read_request_state(ANNA)
    assert (state.access, state.account_state) == (GUEST, None)
    assert state.queued_counts == {JobKind.TRAIN: 0, JobKind.GENERATE: 0}
    assert await database.accounts.find_by_identity(ANNA) is None


async def test_a_known_identity_is_read_without_a_write(database: Database) -> None:
    account = await database.accounts.get_or_create(ANNA)
    statements: list[str] = []
    await trace(database, statements)
    assert await database.accounts.get_or_create(ANNA) == account
    state = await database.access.read_request_state(ANNA)
    assert state.account_state is not None
    assert state.account_state.account == account
    assert statements
    assert writes(statements) == []


async def test_a_request_state_is_one_call_of_the_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.accounts.get_or_create(ANNA)
    calls: list[object] = []
    run = database._connection._run_in_thread

    async def count(function: Callable[[sqlite3.Connection], object]) -> object:
        calls.append(function)
        return await run(function)

    monkeypatch.setattr(database._connection, "_run_in_thread", count)
    await database.access.read_request_state(ANNA)
    assert len(calls) == 1


async def test_an_account_state_equals_the_single_reads(database: Database, clock: Clock) -> None:
    account = await database.accounts.get_or_create(Identity(Platform.TELEGRAM, ANNA.user_id, locale="it-IT"))
    await database.accounts.record_consent(account)
    await database.accounts.save_preferences(account, Preferences(size="portrait", language="it"))
    await database.access.set_quota(account, Quota(3, None))
    await database.access.set_role(account, Role.TRUSTED)
    added = await database.photo_sets.add_photos(account, photos(0), ANNAS, TrainingParams())
    assert added.job is not None
    await database.jobs.add_generation(account, added.job.code, GenerationParams("a boat", count=4), ANNAS)
    await database.photo_sets.add_photos(account, photos(5)[:2], ANNAS, None)
    question = PendingQuestion("set", ANNA.private_address)
    draft = Draft(account, added.job.code, GenerationParams("a boat"), ANNAS)
    await database.results.save_draft(draft)
    await database.accounts.save_question(account, question)
    await database.monitoring.set_switch(PAUSED_SWITCH, is_on=True)
    request = await database.access.read_request_state(ANNA)
    state = request.account_state
    assert state is not None
    assert request.access == AccessStatus(Role.TRUSTED, Quota(3, None), is_banned=False)
    assert request.queued_counts == {JobKind.TRAIN: 1, JobKind.GENERATE: 1}
    assert request.is_paused
    assert state.identities == (ANNA,)
    assert (state.stored_locale, state.has_consented) == ("it-IT", True)
    assert state.preferences == await database.accounts.get_preferences(account)
    assert (state.trainings_used, state.pictures_used) == (1, 4)
    assert list(state.open_jobs) == await database.jobs.list_open_for_account(account)
    assert state.photo_set == await database.photo_sets.get_set(account)
    assert len(state.photo_set.photo_ids) == 2
    assert (state.question, state.draft) == (question, draft)
    clock.forward(hours=1)
    later = (await database.access.read_request_state(ANNA)).account_state
    assert later is not None
    assert (later.pictures_used, later.question, later.draft) == (0, None, None)


async def test_a_state_shows_nothing_of_another_account(database: Database) -> None:
    account = await database.accounts.get_or_create(ANNA)
    await database.photo_sets.add_photos(account, photos(0), ANNAS, TrainingParams())
    await database.photo_sets.add_photos(account, photos(5)[:2], ANNAS, None)
    await database.accounts.get_or_create(BERT)
    state = (await database.access.read_request_state(BERT)).account_state
    assert state is not None
    assert (state.open_jobs, state.photo_set.photo_ids, state.trainings_used) == ((), (), 0)


async def test_a_ban_is_of_the_identity(database: Database) -> None:
    await database.access.ban([ANNA])
    assert (await database.access.read_request_state(ANNA)).access.is_banned
    assert not (await database.access.read_request_state(BERT)).access.is_banned
