"""The card of a job: one message that shows how far it is, until its result takes the place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import JobKind
from bot.delivery.notices import NoticeSender
from bot.texts import translate
from gpu_worker.protocol import FallbackCause
from tests.support.engine import PNG, EngineRoom, open_engine_room, until
from tests.support.services import ANNA, ANNAS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def test_a_card_that_takes_no_preview_goes_on_without_it(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.files.write_preview(drawing.id, PNG)
    await room.ledger.jobs.claim_next(JobKind.GENERATE)
    room.chat.refuses_pictures_in = ANNAS.chat_id
    room.notifier.on_job_changed(drawing.id)
    await room.notifier.edit_cards()
    ((message_id, reply),) = room.chat.edits
    assert (message_id, reply.pictures) == ("card7", ())


async def test_a_card_shows_the_latest_step_and_then_the_end(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    claimed = await room.ledger.jobs.claim_next(job.kind)
    assert claimed is not None
    for step in (1, 2, 3):
        await room.ledger.jobs.record_progress(job.id, 1, step, 10)
        room.notifier.on_job_changed(job.id)
    await room.notifier.edit_cards()
    assert [("step 3 of 10" in reply.text) for _, reply in room.chat.edits] == [True]
    await room.ledger.jobs.finish_training(job.id, 1, ("x", "y"))
    room.notifier.on_job_changed(job.id)
    await room.notifier.edit_cards()
    assert room.chat.edits[-1][1].card_job_id is None


async def test_a_fallback_is_on_the_card_until_its_next_edit(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    await room.desk.claim(job.kind)
    await room.ledger.jobs.record_progress(job.id, 1, 4, 10)
    room.notifier.on_job_changed(job.id, FallbackCause.OUT_OF_MEMORY)
    room.notifier.on_job_changed(job.id)  # the next step comes before the card may be edited
    await room.notifier.edit_cards()
    room.notifier.on_job_changed(job.id)
    await room.notifier.edit_cards()
    shown = [translate("fallback-out-of-memory") in reply.text for _, reply in room.chat.edits]
    assert shown == [True, False]


async def test_a_fallback_waits_for_a_busy_platform(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    await room.desk.claim(job.kind)
    room.notifier.on_job_changed(job.id, FallbackCause.OUT_OF_MEMORY)
    room.chat.errors = [ChatBusy("slow down", 0.0)]
    await room.notifier.edit_cards()
    await room.notifier.edit_cards()
    assert [translate("fallback-out-of-memory") in reply.text for _, reply in room.chat.edits] == [True]


async def test_a_fallback_of_a_job_that_has_ended_is_not_shown(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    room.notifier.on_job_changed(job.id, FallbackCause.OUT_OF_MEMORY)
    await room.desk.studio.cancel_job(ANNA)
    await room.notifier.edit_cards()
    assert translate("fallback-out-of-memory") not in room.chat.edits[-1][1].text


async def test_a_card_that_was_never_noted_is_shown_again(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    room.desk.clock.forward(seconds=11)
    room.notifier.on_job_changed(job.id)
    await room.notifier.edit_cards()
    assert (await room.job(job)).card_message_id == "m1"


async def test_a_card_that_is_just_being_shown_is_not_shown_twice(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    room.notifier.on_job_changed(job.id)
    assert await room.notifier.edit_cards() is not None, "it is looked at again"
    assert room.chat.sent == []


async def test_the_card_of_a_cancelled_job_says_so(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    await room.desk.studio.cancel_job(ANNA)
    await room.notifier.edit_cards()
    assert "Cancelled" in room.chat.edits[-1][1].text


async def test_a_late_progress_edit_never_covers_a_picture(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    room.notifier.on_job_changed(drawing.id)
    await room.notifier.edit_cards()
    assert room.chat.edits[-1][1].pictures


async def test_a_picture_replaces_a_card_that_was_still_on_its_way(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    room.desk.clock.forward(seconds=11)  # whoever answered noted no card
    room.notifier.on_job_changed(drawing.id)
    room.chat.line.clear()
    showing = asyncio.create_task(room.notifier.edit_cards())

    async def is_on_its_way() -> bool:
        return len(room.chat.sent) == 2

    await until(is_on_its_way)
    await room.dispatcher.drain()
    delivering = asyncio.create_task(room.notifier.deliver_due())
    await room.owed()  # the database answers in turn: it was asked for what is owed before
    room.chat.line.set()
    await asyncio.gather(showing, delivering)
    assert room.chat.edits[-1][0] == "m2"
    assert room.chat.edits[-1][1].pictures
    assert len(room.chat.sent) == 2, "no second message beside a card that never ends"


async def test_a_card_is_forgotten_when_its_job_has_ended(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.desk.claim(drawing.kind)
    await room.files.write_preview(drawing.id, PNG)
    room.notifier.on_job_changed(drawing.id, FallbackCause.OUT_OF_MEMORY)
    await room.notifier.edit_cards()
    cards = room.notifier.cards
    remembered = (cards._preview_mtimes_ns, cards._next_edit_at_s, cards._fallbacks)
    assert [drawing.id in each for each in remembered] == [True, True, False]
    room.notifier.on_job_changed(drawing.id, FallbackCause.NOT_FINITE)
    await room.ledger.jobs.finish_generation(drawing.id, 1, [])
    await room.notifier.deliver_due()
    await room.notifier.edit_cards()
    assert [drawing.id in each for each in remembered] == [False, False, False]


async def test_a_card_that_may_not_be_edited_rests_like_the_others(room: EngineRoom) -> None:
    notifier = NoticeSender(
        database=room.ledger,
        chats={room.chat.platform: room.chat},
        storage=room.files,
        clock=room.desk.clock,
        card_pause_s=600.0,
    )
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    await room.desk.claim(job.kind)
    room.chat.errors = [ChatUnreachable("the channel is closed")]
    for _ in range(2):
        notifier.on_job_changed(job.id)
        await notifier.edit_cards()
    assert room.chat.edits == [], "a platform shuts out a bot that goes on with what it refuses"
