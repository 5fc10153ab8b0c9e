"""Letters arrive once, one after another, and wait where a platform wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.db.sqlite.connection import to_ms
from bot.db.statements.messages import BROADCAST_BATCH_SIZE, _insert_broadcast_batch, get_or_create_broadcast
from bot.delivery.direct_messages import DirectMessageSender
from tests.support.engine import RememberingChat, until
from tests.support.services import ADMIN, ANNA, BERT, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def postman(desk: Desk, *chats: RememberingChat) -> DirectMessageSender:
    return DirectMessageSender(
        desk.ledger, {chat.platform: chat for chat in chats}, desk.clock, send_interval_s=0.0
    )


async def test_direct_messages_go_to_their_platform_alone(desk: Desk) -> None:
    telegram, discord = RememberingChat(), RememberingChat(Platform.DISCORD)
    await desk.ledger.outbox.add_direct_messages([ANNA, BERT, ADMIN], "hello")
    await postman(desk, telegram, discord).deliver_due()
    assert [(place, reply.text) for place, reply, _ in telegram.sent] == [
        (ANNA.private_address, "hello"),
        (ADMIN.private_address, "hello"),
    ]
    assert [place for place, _, _ in discord.sent] == [BERT.private_address]
    assert await desk.ledger.outbox.count_undelivered() == 0
    assert len({nonce for _, _, nonce in telegram.sent}) == 2


async def test_a_bot_killed_during_a_broadcast_continues_and_repeats_nobody(desk: Desk) -> None:
    for number in range(1000, 1000 + BROADCAST_BATCH_SIZE):
        await desk.ledger.accounts.get_or_create(Identity(Platform.TELEGRAM, str(number)))
    now_ms = to_ms(desk.clock())
    begun = await desk.ledger._connection.write(
        lambda db: get_or_create_broadcast(db, "hello", idempotency_key="telegram:7", now_ms=now_ms)
    )
    await desk.ledger._connection.write(lambda db: _insert_broadcast_batch(db, begun))
    assert await desk.ledger.outbox.count_undelivered() == BROADCAST_BATCH_SIZE, (
        "some were not told when it died"
    )
    await desk.ledger.outbox.resume_broadcasts()
    told = await desk.ledger.outbox.add_broadcast("hello", "telegram:7")
    assert told == await desk.ledger.outbox.count_undelivered() == BROADCAST_BATCH_SIZE + 2


async def test_one_broadcast_sent_twice_is_two_messages_for_everybody(desk: Desk) -> None:
    for message in ("telegram:7", "telegram:8", "", ""):
        assert await desk.ledger.outbox.add_broadcast("hello", message) == 2
    assert await desk.ledger.outbox.count_undelivered() == 8


async def test_an_ordered_stop_finishes_one_message_and_begins_no_other(
    desk: Desk,
) -> None:
    telegram = RememberingChat()
    telegram.line.clear()
    await desk.ledger.outbox.add_direct_messages([ANNA, ADMIN], "hello")
    delivering = asyncio.create_task(postman(desk, telegram).deliver_due())
    await until(lambda: _is(telegram.sent))
    delivering.cancel()
    await asyncio.sleep(0)
    telegram.line.set()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert len(telegram.sent) == 1
    assert await desk.ledger.outbox.count_undelivered() == 1
    await postman(desk, telegram).deliver_due()
    assert [place for place, _, _ in telegram.sent] == [ANNA.private_address, ADMIN.private_address]


async def test_a_busy_platform_is_left_alone_and_others_are_not_held_up(desk: Desk) -> None:
    telegram, discord = RememberingChat(), RememberingChat(Platform.DISCORD)
    telegram.errors = [ChatBusy("slow down", 30.0)]
    await desk.ledger.outbox.add_direct_messages([ANNA, ADMIN, BERT], "hello")
    await postman(desk, telegram, discord).deliver_due()
    assert telegram.sent == []
    assert len(discord.sent) == 1
    desk.clock.forward(seconds=31)
    await postman(desk, telegram).deliver_due()
    assert {place for place, _, _ in telegram.sent} == {ANNA.private_address, ADMIN.private_address}


async def test_an_unreachable_person_is_not_tried_again_and_a_failure_is(desk: Desk) -> None:
    telegram = RememberingChat()
    telegram.errors = [ChatUnreachable("blocked"), RuntimeError("no luck")]
    await desk.ledger.outbox.add_direct_messages([ANNA, ADMIN], "hello")
    await postman(desk, telegram).deliver_due()
    assert telegram.sent == []
    assert await desk.ledger.outbox.count_undelivered() == 1
    desk.clock.forward(seconds=6)
    await postman(desk, telegram).deliver_due()
    assert [place for place, _, _ in telegram.sent] == [ADMIN.private_address]


async def test_letters_wait_for_a_platform_that_is_switched_off(desk: Desk) -> None:
    await desk.ledger.outbox.add_direct_messages([BERT], "hello")
    await postman(desk, RememberingChat()).deliver_due()
    assert await desk.ledger.outbox.count_undelivered() == 1


async def test_an_outbox_worker_wakes_when_a_message_is_due(desk: Desk) -> None:
    telegram = RememberingChat()
    await desk.ledger.outbox.add_direct_messages([ANNA], "first")
    man = postman(desk, telegram)
    running = asyncio.create_task(man.run())

    async def has(count: int) -> bool:
        return len(telegram.sent) == count

    try:
        await until(lambda: has(1))
        await desk.ledger.outbox.add_direct_messages([Identity(Platform.TELEGRAM, "5")], "second")
        man.wake()
        await until(lambda: has(2))
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _is(what: object) -> bool:
    return bool(what)
