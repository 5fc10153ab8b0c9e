"""What is owed is told, once as far as anybody can see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import Job, JobKind, JobStatus
from bot.delivery.notices import NoticeSender
from bot.delivery.outbox import WARN_AFTER_ATTEMPTS
from bot.texts import translate
from gpu_worker.protocol import FallbackCause
from tests.support.engine import PNG, EngineRoom, RememberingChat, open_engine_room, until
from tests.support.services import ANNA, ANNAS, BERT, BERTS


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def test_a_finished_training_is_a_new_message_so_that_the_phone_rings(room: EngineRoom) -> None:
    job = await room.trained()
    ((place, reply, nonce),) = room.chat.sent
    assert place == ANNAS
    assert job.code in reply.text
    assert nonce.startswith("notice-")
    assert await room.owed() == []


async def test_a_picture_takes_the_place_of_its_card(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    message_id, reply = room.chat.edits[-1]
    assert message_id == "card7"
    assert reply.pictures[0].read_bytes() == b"picture"
    assert len(room.chat.sent) == 1  # the training's notice, and nothing more


async def test_a_picture_whose_card_is_gone_is_sent_anew(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.dispatcher.drain()
    room.chat.errors = [ChatUnreachable("gone")]
    await room.notifier.deliver_due()
    assert room.chat.sent[-1][1].pictures


async def drawn_on_a_card(room: EngineRoom) -> Job:
    """Let a picture be drawn whose card in a group is `card7`, and not told yet."""
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.dispatcher.drain()
    return drawing


@pytest.mark.parametrize("is_private_chat_open", [True, False])
async def test_a_card_that_takes_no_pictures_has_them_sent_privately(
    room: EngineRoom, is_private_chat_open: bool
) -> None:
    drawing = await drawn_on_a_card(room)
    room.chat.refuses_pictures_in = ANNAS.chat_id
    room.chat.unreachable_chats = [] if is_private_chat_open else [ANNA.user_id]
    await room.notifier.deliver_due()
    message_id, reply = room.chat.edits[-1]
    assert (message_id, reply.pictures) == ("card7", ())
    assert f"#{drawing.id}" in reply.text
    assert ("so I send them to you" if is_private_chat_open else "use /show") in reply.text
    assert await room.owed() == []
    if is_private_chat_open:
        place, private_reply, _ = room.chat.sent[-1]
        assert place == ANNA.private_address
        assert private_reply.pictures
        await room.ledger.results.delete_result(drawing.id)
        await room.notifier.scrub_deleted()
        assert {f"m{len(room.chat.sent)}", "card7"} == {each for each, _ in room.chat.edits[-2:]}


async def test_a_card_that_cannot_show_its_result_says_so_first(room: EngineRoom) -> None:
    await drawn_on_a_card(room)
    room.chat.errors = [ChatUnreachable("a rule forbids these words")]
    await room.notifier.deliver_due()
    ((message_id, reply),) = room.chat.edits
    assert message_id == "card7"
    assert "has ended" in reply.text
    assert not reply.buttons
    assert room.chat.sent[-1][1].pictures


async def test_a_notice_keeps_its_words_where_no_pictures_are_taken(room: EngineRoom) -> None:
    await drawn_on_a_card(room)
    room.chat.errors = [ChatUnreachable("gone"), ChatUnreachable("gone")]
    room.chat.refuses_pictures_in = ANNAS.chat_id
    await room.notifier.deliver_due()
    (place, reply, _), (private_place, private_reply, _) = room.chat.sent[-2:]
    assert (place, reply.pictures) == (ANNAS, ())
    assert (private_place, bool(private_reply.pictures)) == (ANNA.private_address, True)


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


async def test_an_ordered_stop_lets_a_notice_that_is_on_its_way_arrive(room: EngineRoom) -> None:
    room.chat.errors = [ChatBusy("slow down", 30.0)]
    await room.trained()
    room.desk.clock.forward(seconds=31)
    room.chat.line.clear()
    delivering = asyncio.create_task(room.notifier.deliver_due())
    await until(room.has_sent)
    delivering.cancel()
    await asyncio.sleep(0)
    room.chat.line.set()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert await room.desk.ledger.outbox.count_undelivered() == 0


async def test_a_busy_platform_is_obeyed_and_nothing_is_lost(room: EngineRoom) -> None:
    room.chat.errors = [ChatBusy("slow down", 30.0)]
    await room.trained()
    assert room.chat.sent == []
    assert await room.owed() == []
    room.desk.clock.forward(seconds=29)
    await room.notifier.deliver_due()
    assert room.chat.sent == []
    room.desk.clock.forward(seconds=2)
    await room.notifier.deliver_due()
    assert len(room.chat.sent) == 1


async def test_a_platform_that_stays_busy_is_logged_ever_louder(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bot.delivery.outbox")
    room.chat.errors = [ChatBusy("slow down", 1.0) for _ in range(WARN_AFTER_ATTEMPTS + 1)]
    await room.trained()
    for _ in range(WARN_AFTER_ATTEMPTS + 1):
        room.desk.clock.forward(hours=2)
        await room.notifier.deliver_due()
    assert len(room.chat.sent) == 1
    told = [(each.levelno, each.getMessage()) for each in caplog.records if "waits" in each.message]
    quiet = [(logging.INFO, f"notice 1 waits after try {number + 1}: slow down") for number in range(4)]
    assert told == [*quiet, (logging.WARNING, "notice 1 waits after try 5: slow down")]


async def test_a_clock_that_is_set_back_does_not_put_off_what_is_owed(room: EngineRoom) -> None:
    room.desk.clock.forward(days=1)
    room.chat.errors = [ChatBusy("slow down", 30.0)]
    await room.trained()
    assert room.chat.sent == []
    room.desk.clock.forward(days=-1)
    await room.notifier.deliver_due()
    assert len(room.chat.sent) == 1


async def test_a_person_who_blocked_the_bot_is_not_tried_again(room: EngineRoom) -> None:
    room.chat.errors = [ChatUnreachable("blocked")]
    job = await room.trained()
    assert job.status is JobStatus.DONE, "there was something to tell"
    assert room.chat.errors == [], "it was tried once"
    room.desk.clock.forward(days=1)
    await room.notifier.deliver_due()
    assert room.chat.sent == []
    assert (await room.ledger.monitoring.count_all()).pending_notices == 0


async def test_an_unexpected_error_keeps_the_notice(room: EngineRoom) -> None:
    room.chat.errors = [RuntimeError("bug")]
    await room.trained()
    assert room.chat.errors == [], "it was tried once"
    assert (await room.ledger.monitoring.count_all()).pending_notices == 1
    room.desk.clock.forward(minutes=10)
    await room.notifier.deliver_due()
    assert len(room.chat.sent) == 1
    assert (await room.ledger.monitoring.count_all()).pending_notices == 0


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


async def test_the_strip_of_samples_comes_again_when_its_delivery_failed(room: EngineRoom) -> None:
    room.backend.sample_png = PNG
    room.chat.errors = [RuntimeError("bug")]
    await room.trained()
    assert room.chat.sent == []
    room.desk.clock.forward(minutes=10)
    await room.notifier.deliver_due()
    ((_, reply, _),) = room.chat.sent
    assert [path.name for path in reply.pictures] == ["1-0.png"]
    assert reply.buttons


async def test_a_ready_message_goes_out_without_a_strip_that_was_deleted(room: EngineRoom) -> None:
    room.backend.sample_png = PNG
    job = await room.desk.train(ANNA)
    await room.dispatcher.drain()
    room.files.picture_path(f"{job.id}-0.png").unlink()
    await room.notifier.deliver_due()
    ((_, reply, _),) = room.chat.sent
    assert job.code in reply.text
    assert reply.pictures == ()


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


async def test_an_erased_job_notifies_nobody(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code)
    await room.desk.studio.record_card(drawing.id, "card7")
    await room.dispatcher.drain()
    delivering = asyncio.create_task(room.notifier.deliver_due())
    await room.owed()
    await room.ledger.privacy.erase_account(job.account)
    await delivering
    assert room.chat.edits == []
    assert len(room.chat.sent) == 1


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


async def test_an_undelivered_notice_holds_up_later_ones_of_its_job(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.ledger.jobs.record_lost_attempt(job.id, (await room.desk.claim(job.kind)).attempt)
    room.chat.errors = [ChatBusy("slow down", 30.0) for _ in range(2)]
    await room.notifier.deliver_due()
    await room.dispatcher.drain()
    room.desk.clock.forward(seconds=29)
    await room.notifier.deliver_due()
    assert len(room.chat.errors) == 1, "the end is not told before what came first"
    for _ in range(2):
        room.desk.clock.forward(seconds=31)
        await room.notifier.deliver_due()
    first, last = (reply.text for _, reply, _ in room.chat.sent)
    assert ("is continuing" in first, "is ready" in last) == (True, True)


async def test_notices_wait_for_a_platform_that_is_switched_off(
    room: EngineRoom,
) -> None:
    await room.desk.train(BERT)
    await room.dispatcher.drain()
    await room.notifier.deliver_due()
    assert len(await room.owed()) == 1
    discord = RememberingChat(Platform.DISCORD)
    await NoticeSender(
        database=room.ledger, chats={Platform.DISCORD: discord}, storage=room.files, clock=room.desk.clock
    ).deliver_due()
    assert [address for address, _, _ in discord.sent] == [BERTS]
    assert await room.owed() == []
