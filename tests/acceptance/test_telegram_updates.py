"""On Telegram: a bot that dies while it works something off is done with it when it is back, once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from lo_bot_api_emulator import ApiRefusal
from telegram import Update
from telegram.ext import ApplicationBuilder, ContextTypes, TypeHandler

from bot.chats.telegram.updates import MAX_CONCURRENT_UPDATES, UpdateProcessor
from bot.db import Database
from tests.acceptance.telegram_person import Person
from tests.acceptance.telegram_server import TOKEN, Shown, TelegramServer, until
from tests.acceptance.telegram_stage import ADMIN, PHOTOS, Stage, on_stage, trained
from tests.proofs.invariants import utc_now


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with on_stage(tmp_path) as each:
        yield each


async def waiting(server: TelegramServer, offset: int = 0) -> list[dict[str, Any]]:
    """Give the updates that Telegram has for the bot, from one on; those before it count as delivered."""
    async with aiohttp.ClientSession() as client:
        fields = {"offset": str(offset), "timeout": "0"}
        async with client.post(f"{server.base_url}/bot{TOKEN}/getUpdates", data=fields) as answer:
            return list((await answer.json())["result"])


def died_with(folder: Path, updates: list[dict[str, Any]]) -> None:
    """Leave the database as a bot does that was killed before it noted these updates as worked off."""
    now_ms = round(1000 * utc_now().timestamp())
    with closing(sqlite3.connect(folder / "ledger.sqlite3")) as db, db:
        db.executemany(
            "INSERT INTO updates (id, user_id, body, came_ms) VALUES (:id, '7', :body, :now)"
            " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            [
                {"id": each["update_id"], "body": msgspec.json.encode(each).decode(), "now": now_ms}
                for each in updates
            ],
        )


async def test_updates_of_a_killed_bot_are_processed_by_the_next(stage: Stage) -> None:
    await stage.stop()
    await stage.anna.sends_photos(PHOTOS[:5])
    handed = await waiting(stage.server)
    assert await waiting(stage.server, offset=handed[-1]["update_id"] + 1) == [], "Telegram is done with them"
    died_with(stage.folder, handed)
    await stage.start()
    await stage.anna.hears("is ready,")


async def test_a_training_that_was_begun_is_not_begun_again(stage: Stage) -> None:
    await stage.stop()
    await stage.anna.sends_photos(PHOTOS[:5])
    handed = await waiting(stage.server)
    await stage.start()
    await stage.anna.hears("is ready,")
    await stage.stop()
    said = len(stage.anna.sees)
    died_with(stage.folder, handed)
    await stage.start()
    await stage.anna.says("/codes")
    await until(lambda: len(stage.anna.sees) > said)
    await stage.stop()
    assert len(stage.anna.sees) == said + 1
    assert len(stage.card.requests) == 1


async def test_an_album_with_the_number_of_somebody_else_s_is_worked_off_too(stage: Stage) -> None:
    await stage.bert.sends_photos(PHOTOS[:5], album="12345")
    await stage.bert.hears("is ready,")
    await stage.stop()
    await stage.anna.sends_photos(PHOTOS[:5], album="12345")
    died_with(stage.folder, await waiting(stage.server))
    await stage.start()
    await stage.anna.hears("is ready,")


async def test_photos_that_were_kept_are_told_of_and_not_refused(stage: Stage) -> None:
    await stage.stop()
    await stage.anna.sends_photos(PHOTOS[:3])
    handed = await waiting(stage.server)
    await stage.start()
    await stage.anna.hears("3 of 5")
    await stage.stop()
    died_with(stage.folder, handed)
    await stage.start()
    await stage.anna.sends_photos(PHOTOS[3:4])
    shown = await stage.anna.hears("4 of 5")
    await until(lambda: stage.anna.sees == [shown])  # it is told by the message that shows the set
    assert "Photo 1" not in shown.text


@pytest.mark.parametrize(("command", "table", "letters"), [("/ask", "asks", 1), ("/report", "reports", 2)])
async def test_a_request_and_a_report_are_carried_out_once(
    stage: Stage, command: str, table: str, letters: int
) -> None:
    code = await trained(stage.bert)
    administrator = Person(stage.server, ADMIN)
    reader = stage.bert if command == "/ask" else administrator
    await stage.stop()
    await stage.anna.says(f"{command} {code}")
    handed = await waiting(stage.server)
    await stage.start()
    await until(lambda: heard(reader))
    await until(lambda: stage.anna.sees)
    told = stage.anna.sees[0].text
    await stage.stop()
    died_with(stage.folder, handed)
    await stage.start()
    await until(lambda: len(stage.anna.sees) == 2)
    assert stage.anna.sees[1].text == told, "whoever died did not say so yet, as far as it knows"
    await stage.anna.says(f"{command} {code}")
    await until(lambda: len(stage.anna.sees) == 3)
    await stage.stop()
    with closing(sqlite3.connect(stage.folder / "ledger.sqlite3")) as db:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our own names
        (owed,) = db.execute("SELECT count(*) FROM letters").fetchone()
    assert count == 2, "that of the first message once, and that of the second"
    assert len(heard(reader)) + owed == letters


def heard(reader: Person) -> list[Shown]:
    """Give what somebody was told of Anna's request or report."""
    return [each for each in reader.sees if "Person 7" in each.text or "telegram:7 " in each.text]


async def test_the_text_of_an_update_is_deleted_when_it_is_processed(stage: Stage) -> None:
    await stage.anna.says("my secret lighthouse")
    await until(lambda: stage.anna.sees)
    await stage.stop()
    ledger = await Database.open(stage.folder / "ledger.sqlite3", utc_now)
    assert await ledger.outbox.list_pending_updates() == []
    await ledger.checkpoint_wal()
    await ledger.close()
    assert b"lighthouse" not in b"".join(path.read_bytes() for path in stage.folder.glob("ledger.sqlite3*"))


UNREADABLE = {"message": {"message_id": 1, "date": 1, "chat": {"id": 7}, "text": "a chat of no kind"}}


async def test_an_update_that_cannot_be_read_keeps_those_behind_it_waiting_for_nothing(stage: Stage) -> None:
    await stage.server.enqueue_update(UNREADABLE, token=TOKEN)
    await stage.anna.says("/help")
    await stage.anna.hears("/generate")


async def test_an_update_that_can_no_longer_be_read_is_forgotten_and_others_are_worked_off(
    stage: Stage,
) -> None:
    await stage.stop()
    await stage.anna.says("/help")
    died_with(stage.folder, [{"update_id": 99_999, **UNREADABLE}, *await waiting(stage.server)])
    await stage.start()
    await stage.anna.hears("/generate")
    await stage.stop()
    ledger = await Database.open(stage.folder / "ledger.sqlite3", utc_now)
    assert await ledger.outbox.list_pending_updates() == []
    await ledger.close()


async def test_a_chat_that_has_to_wait_keeps_no_other_waiting(stage: Stage) -> None:
    may_go_on, heard_bert = asyncio.Event(), asyncio.Event()

    async def hear(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        if update.effective_user is not None and update.effective_user.id == stage.anna.id:
            await may_go_on.wait()
        else:
            heard_bert.set()

    library = ApplicationBuilder().token(TOKEN).base_url(f"{stage.server.base_url}/bot").updater(None).build()
    library.add_handler(TypeHandler(Update, hear))
    async with library:
        incoming = UpdateProcessor(library, stage.app.services)
        for number in range(MAX_CONCURRENT_UPDATES + 1):
            person = stage.anna if number < MAX_CONCURRENT_UPDATES else stage.bert
            sender = {"id": person.id, "is_bot": False, "first_name": "Person"}
            message = {"message_id": number, "date": 1, "chat": {"id": person.id, "type": "private"}}
            said = {"update_id": number, "message": {**message, "from": sender, "text": "hello"}}
            await incoming.accept([Update.de_json(said, library.bot)])
        async with asyncio.timeout(60):
            await heard_bert.wait()
        may_go_on.set()
        await incoming.close()


@pytest.mark.parametrize(
    "refusal",
    [
        ApiRefusal("Conflict: terminated by other getUpdates request", 409),
        ApiRefusal("Bad Gateway", 502),
        ApiRefusal("Too Many Requests: retry after 1", 429, {"retry_after": 1}),
        ApiRefusal("Unauthorized", 401),
    ],
    ids=lambda refusal: str(refusal.status),
)
async def test_polling_continues_after_any_answer_of_telegram(
    stage: Stage, caplog: pytest.LogCaptureFixture, refusal: ApiRefusal
) -> None:
    stage.server.refusals["getUpdates"] = [refusal]
    await stage.anna.says("/help")  # ends the wait in which the bot is
    await until(lambda: not stage.server.refusals["getUpdates"])
    await stage.anna.says("/privacy")
    await stage.anna.hears("What I keep about you")
    assert any("updates" in line.getMessage() for line in caplog.records if line.levelname != "DEBUG")
    assert "canary" not in "".join(
        line.getMessage() for line in caplog.records if line.name.startswith("bot")
    )


async def test_no_more_updates_are_asked_for_than_are_read_without_holding_others_up(stage: Stage) -> None:
    await stage.anna.says("/help")
    await stage.anna.hears("/train")
    assert max(stage.server.updates_wanted) <= 40
