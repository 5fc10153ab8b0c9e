"""On Telegram: whoever deletes a result sees it nowhere any more, whichever messages showed it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from lo_bot_api_emulator import ApiRefusal

from bot.core.jobs import JobId
from bot.db import Database
from tests.acceptance.telegram_server import Shown, until
from tests.acceptance.telegram_stage import GROUP, PHOTOS, Stage, on_stage
from tests.acceptance.test_telegram_results import number_of, until_noted
from tests.proofs.invariants import utc_now


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def brought_back(stage: Stage, result: Shown, chat: int | None = None) -> Shown:
    """Have Anna bring a result back, and wait until the message that shows it is known."""
    known = len(stage._results(chat))
    before = notes(stage)
    await stage.anna.says(f"/show {number_of(result)}", chat=chat)
    shown = await stage.next_result(known, chat)
    await until(lambda: notes(stage) > before)
    return shown


def notes(stage: Stage) -> int:
    """Count the messages that are known to show a result beside its card."""
    with closing(sqlite3.connect(stage.folder / "ledger.sqlite3")) as db:
        return int(db.execute("SELECT count(*) FROM copies").fetchone()[0])


def is_empty(message: Shown) -> bool:
    return message.buttons == [] and "a boat" not in message.text and PHOTOS[0] not in message.photos


@pytest.mark.covers("telegram", "/show", "group")
async def test_deleting_empties_the_messages_that_show_brought_everywhere(stage: Stage) -> None:
    result = await stage.result("--n 3")
    await until_noted(stage)
    shown = [await brought_back(stage, result), await brought_back(stage, result, GROUP)]
    albums = [each.id for each in stage.server.shown.values() if len(each.photos) == 2]
    assert len(albums) == 3
    await stage.anna.sends_action(result, f"delete!:{number_of(result)}")
    await until(lambda: all(is_empty(each) for each in (result, *shown)))
    await until(lambda: set(albums) <= set(stage.server.deleted))


@pytest.mark.covers("telegram", "[delete:*]", "[delete!:*]")
async def test_deleting_works_from_the_message_that_show_brought(stage: Stage) -> None:
    result = await stage.result()
    shown = await brought_back(stage, result)
    await stage.anna.presses(shown, "Delete")
    await stage.anna.presses(await stage.anna.hears("for good?"), "Delete")
    await until(lambda: is_empty(shown) and is_empty(result))


@pytest.mark.covers("telegram", "/show", "restart")
async def test_a_bot_that_was_killed_before_it_emptied_them_does_so_when_it_is_back(stage: Stage) -> None:
    result = await stage.result("--n 3")
    await until_noted(stage)
    shown = await brought_back(stage, result)
    await stage.stop()
    ledger = await Database.open(stage.folder / "ledger.sqlite3", utc_now)
    await ledger.results.delete_result(JobId(int(number_of(result))))
    await ledger.close()
    assert not is_empty(shown)
    await stage.start()
    await until(lambda: is_empty(shown) and is_empty(result))
    assert len(stage.server.deleted) == 4


@pytest.mark.covers("telegram", "message deleted")
async def test_further_pictures_of_a_deleted_message_go_too(stage: Stage) -> None:
    result = await stage.result("--n 3")
    await until_noted(stage)
    shown = await brought_back(stage, result)
    stage.server.delete(shown, result)
    await stage.anna.sends_action(result, f"delete!:{number_of(result)}")
    await until(lambda: len(stage.server.deleted) == 4)


async def test_the_message_that_delete_was_pressed_under_is_emptied_though_nobody_noted_it(
    stage: Stage,
) -> None:
    result = await stage.result()
    shown = await brought_back(stage, result)
    with closing(sqlite3.connect(stage.folder / "ledger.sqlite3")) as db, db:
        db.execute("DELETE FROM copies")  # an earlier version brought it, or the bot died just then
    await stage.anna.presses(shown, "Delete")
    await stage.anna.presses(await stage.anna.hears("for good?"), "Delete")
    await until(lambda: is_empty(shown) and is_empty(result))


async def test_a_message_that_telegram_puts_off_is_emptied_later(stage: Stage) -> None:
    result = await stage.result()
    shown = await brought_back(stage, result)
    busy = ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1})
    stage.server.refusals["editMessageMedia"] = [busy]
    await stage.anna.sends_action(result, f"delete!:{number_of(result)}")
    await until(lambda: not stage.server.refusals["editMessageMedia"])
    await stage.comes_later(lambda: is_empty(shown) and is_empty(result))
    await until(lambda: notes(stage) == 0)
