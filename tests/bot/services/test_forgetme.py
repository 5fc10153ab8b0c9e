"""`/forgetme`: everything of an account goes, at once and for good; only bare codes stay."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import DatabaseError, UserError
from bot.core.jobs import JobKind, TrainingParams
from bot.core.loras import format_code
from bot.core.messages import Reply
from bot.db import Database
from bot.texts import translate
from tests.support.engine import EngineRoom, open_engine_room, until
from tests.support.services import ANNA, ANNAS, BERT, BERTS, Clock, InProcessDecoder, photo


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def confirmed(room: EngineRoom) -> Reply:
    asked = await room.desk.studio.ask_to_erase(ANNA)
    [button] = asked.buttons
    return await room.desk.studio.handle_button(ANNA, ANNAS, button.action)


async def drawn(room: EngineRoom, prompt: str) -> None:
    await room.draws((await room.trained()).code, prompt)
    await room.dispatcher.drain()
    await room.notifier.deliver_due()


def everything_in(folder: Path) -> bytes:
    """All bytes of the database and its logs."""
    return b"".join(path.read_bytes() for path in folder.glob("ledger.sqlite3*"))


def files_in(folder: Path) -> list[str]:
    kept = ("loras", "checkpoints", "pictures", "samples", "previews", "exports")
    return [path.name for each in kept for path in (folder / each).iterdir()]


async def test_an_account_is_kept_until_the_question_is_answered(room: EngineRoom) -> None:
    code = (await room.trained()).code
    asked = await room.desk.studio.ask_to_erase(ANNA)
    assert "1 LoraCode" in asked.text
    assert await room.ledger.loras.get_by_code(code) is not None


async def test_the_receipt_counts_the_pictures_that_the_question_named(room: EngineRoom) -> None:
    await drawn(room, "a lighthouse")
    [lora] = await room.desk.loras(ANNA)
    deleted = await room.draws(lora.code, "a boat")
    await room.dispatcher.drain()
    await room.desk.studio.handle_button(ANNA, ANNAS, f"delete!:{deleted.id}")
    asked = await room.desk.studio.ask_to_erase(ANNA)
    assert "1 picture, 2 drawings" in asked.text
    assert "Pictures: 1\n" in (await confirmed(room)).text


async def test_every_row_and_file_goes_and_the_receipt_counts_them(room: EngineRoom, tmp_path: Path) -> None:
    await drawn(room, "a secret lighthouse")
    [lora] = await room.desk.loras(ANNA)
    await room.desk.studio.generate_from_text(ANNA, ANNAS, "")  # opens a draft
    await room.desk.send(ANNA, 21, 22)
    receipt = await confirmed(room)
    assert receipt.edits_message
    code = format_code(lora.code)
    for line in ("Photos: 2", f"1 ({code})", "Pictures: 1", "with their prompts: 2", "on: Telegram"):
        assert line in receipt.text
    assert "2030-01-01" in receipt.text
    assert files_in(tmp_path) == []
    assert await room.ledger.accounts.find_by_identity(ANNA) is None
    rows = everything_in(tmp_path)
    assert b"secret lighthouse" not in rows, "deleted words are gone from the file, not only from view"
    assert lora.code.encode() in rows, "the bare code stays"


async def test_a_forgotten_account_is_in_no_table(room: EngineRoom, tmp_path: Path) -> None:
    await drawn(room, "a boat")
    account = await room.ledger.accounts.get_or_create(ANNA)
    await room.ledger.accounts.get_or_create(BERT)
    await confirmed(room)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        naming = {
            (table, key[3])
            for table in tables
            for key in db.execute(f"PRAGMA foreign_key_list({table})")
            if key[2] == "accounts"
        }
        assert {table for table, _ in naming} >= {"identities", "loras", "jobs", "photos", "drafts"}
        for table, column in naming:
            left = f"SELECT count(*) FROM {table} WHERE {column} = ?"  # noqa: S608 - our own names
            count = db.execute(left, (account,)).fetchone()[0]
            assert count == 0, f"{table}.{column}"
        assert db.execute("SELECT count(*) FROM accounts").fetchone()[0] == 1, "Bert's"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_the_administrators_log_names_no_forgotten_person(room: EngineRoom, tmp_path: Path) -> None:
    await drawn(room, "a boat")
    audit = room.ledger.monitoring
    for details in (str(ANNA), f"{ANNA} 0 -", f"ban {ANNA.user_id}", f"telegram:{ANNA.user_id}9", "to all"):
        await audit.add_audit_entry(BERT, "quota", details)
    await confirmed(room)
    left = [entry.details for entry in reversed(await audit.list_audit_entries(10))]
    assert left == ["(erased)", "(erased) 0 -", "ban (erased)", f"telegram:{ANNA.user_id}9", "to all"]


async def test_a_running_training_is_stopped_and_leaves_nothing(room: EngineRoom, tmp_path: Path) -> None:
    room.backend.proceed_event.clear()
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: room.has_step(job))
    await confirmed(room)
    room.backend.proceed_event.set()
    await working
    assert await room.ledger.jobs.get(job.id) is None
    assert files_in(tmp_path) == []
    assert await room.ledger.jobs.claim_next(JobKind.TRAIN) is None


async def test_rows_of_other_accounts_stay(room: EngineRoom) -> None:
    theirs = await room.desk.train(BERT)
    await room.trained()
    await confirmed(room)
    assert await room.ledger.loras.get_by_code(theirs.code) is not None


async def test_the_question_is_answered_by_its_person_within_the_hour(room: EngineRoom) -> None:
    code = (await room.trained()).code
    [button] = (await room.desk.studio.ask_to_erase(ANNA)).buttons
    await room.ledger.accounts.get_or_create(BERT)
    with pytest.raises(UserError) as caught:
        await room.desk.studio.handle_button(BERT, BERTS, button.action)
    assert caught.value.message == translate("stale-button")
    room.desk.clock.forward(minutes=61)
    with pytest.raises(UserError) as caught:
        await room.desk.studio.handle_button(ANNA, ANNAS, button.action)
    assert caught.value.message == translate("forget-too-late")
    assert await room.ledger.loras.get_by_code(code) is not None


async def test_a_second_press_finds_nobody_and_makes_nobody(room: EngineRoom) -> None:
    await room.trained()
    [button] = (await room.desk.studio.ask_to_erase(ANNA)).buttons
    await room.desk.studio.handle_button(ANNA, ANNAS, button.action)
    with pytest.raises(UserError) as caught:
        await room.desk.studio.handle_button(ANNA, ANNAS, button.action)
    assert caught.value.message == translate("stale-button")
    assert await room.ledger.accounts.find_by_identity(ANNA) is None


async def test_a_forgotten_number_is_never_another_person_s(tmp_path: Path) -> None:
    ledger = await Database.open(tmp_path / "ledger.sqlite3", Clock())
    first = await ledger.accounts.get_or_create(ANNA)
    await ledger.privacy.erase_account(first)
    assert await ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, "5")) > first
    await ledger.close()


async def test_photos_that_were_on_their_way_do_not_bring_anybody_back(room: EngineRoom) -> None:
    account = await room.ledger.accounts.get_or_create(ANNA)
    await confirmed(room)
    with pytest.raises(DatabaseError, match="was deleted meanwhile"):
        await room.ledger.photo_sets.add_photos(
            account, [await InProcessDecoder().decode(photo(1))], ANNAS, TrainingParams()
        )
    assert await room.ledger.accounts.find_by_identity(ANNA) is None


async def test_privacy_says_how_much_is_kept(room: EngineRoom) -> None:
    await room.trained()
    reply = await room.desk.studio.show_privacy(ANNA)
    assert "0 photos, 1 LoraCode, 0 pictures, 0 drawings" in reply.text
    assert "/forgetme" in reply.text


async def test_a_message_that_can_no_longer_be_edited_is_not_kept(room: EngineRoom, tmp_path: Path) -> None:
    code = (await room.trained()).code
    job = await room.draws(code)
    await room.dispatcher.drain()
    results, expires_at = room.ledger.results, room.desk.clock() + timedelta(minutes=15)
    await results.add_result_message(job.id, ANNAS, "secret-token/9", expires_at)
    await results.add_result_message(job.id, ANNAS, "7/8")
    assert b"secret-token" in everything_in(tmp_path)
    room.desk.clock.forward(minutes=16)
    await results.delete_expired_messages()
    await room.ledger.checkpoint_wal()
    assert b"secret-token" not in everything_in(tmp_path)
    await room.desk.studio.handle_button(ANNA, ANNAS, f"delete!:{job.id}")
    assert "7/8" in [each.message_id for each in await room.ledger.outbox.list_due_stale_messages(10)]


@pytest.mark.parametrize("by", ["forgetme", "takedown"])
async def test_messages_that_show_a_result_are_forgotten_with_it(room: EngineRoom, by: str) -> None:
    code = (await room.trained()).code
    job = await room.draws(code)
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    await room.desk.studio.record_copy(job.id, ANNAS, "7,8")
    await room.desk.studio.handle_button(ANNA, ANNAS, f"delete!:{job.id}")
    assert [each.message_id for each in await room.ledger.outbox.list_due_stale_messages(10)] == ["7,8", "m2"]
    if by == "forgetme":
        await confirmed(room)
    else:
        await room.ledger.privacy.erase_lora(code)
    await room.desk.studio.record_copy(job.id, ANNAS, "9")  # it was on its way
    assert await room.ledger.outbox.next_stale_message_at() is None
