"""What is owed is told, once as far as anybody can see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import Job, JobStatus
from bot.delivery.notices import NoticeSender
from bot.delivery.outbox import WARN_AFTER_ATTEMPTS
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
    assert ("is continuing" in first, "is ready," in last) == (True, True)


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
