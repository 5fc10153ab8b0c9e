"""Letters arrive once, one after another, and wait where a platform wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.accounts import Identity, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.messages import asked_by
from bot.db.direct_messages import AT_ONCE, _broadcast, _tell_some
from bot.db.rows import ms
from bot.delivery.direct_messages import Postman
from tests.integration.engine_room import RememberingChat, until
from tests.integration.studio_desk import ADMIN, ANNA, BERT, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def postman(desk: Desk, *chats: RememberingChat) -> Postman:
    return Postman(desk.ledger, {chat.platform: chat for chat in chats}, desk.clock, pause_s=0.0)


async def test_each_platform_brings_its_letters_to_its_people_alone(desk: Desk) -> None:
    telegram, discord = RememberingChat(), RememberingChat(Platform.DISCORD)
    await desk.ledger.owe_letters([ANNA, BERT, ADMIN], "hello")
    await postman(desk, telegram, discord).deliver()
    assert [(place, reply.text) for place, reply, _ in telegram.sent] == [
        (ANNA.alone, "hello"),
        (ADMIN.alone, "hello"),
    ]
    assert [place for place, _, _ in discord.sent] == [BERT.alone]
    assert await desk.ledger.notices_owed() == 0
    assert len({nonce for _, _, nonce in telegram.sent}) == 2


async def test_a_bot_that_dies_while_it_tells_everybody_goes_on_and_tells_nobody_twice(desk: Desk) -> None:
    for number in range(1000, 1000 + AT_ONCE):
        await desk.ledger.account_of(Identity(Platform.TELEGRAM, str(number)))
    now_ms = ms(desk.clock())
    begun = await desk.ledger._db.write(lambda db: _broadcast(db, "telegram:7", "hello", now_ms))
    await desk.ledger._db.write(lambda db: _tell_some(db, begun))
    assert await desk.ledger.notices_owed() == AT_ONCE, "some were not told when it died"
    await desk.ledger.go_on_telling_everybody()
    with asked_by("telegram:7", is_again=True):
        told = await desk.ledger.owe_everybody("hello")
    assert told == await desk.ledger.notices_owed() == AT_ONCE + 2


async def test_the_same_words_twice_are_two_letters_to_everybody(desk: Desk) -> None:
    for message in ("telegram:7", "telegram:8", "", ""):
        with asked_by(message):
            assert await desk.ledger.owe_everybody("hello") == 2
    assert await desk.ledger.notices_owed() == 8


async def test_an_ordered_stop_lets_a_letter_on_its_way_arrive_and_begins_no_other(
    desk: Desk,
) -> None:
    telegram = RememberingChat()
    telegram.line.clear()
    await desk.ledger.owe_letters([ANNA, ADMIN], "hello")
    delivering = asyncio.create_task(postman(desk, telegram).deliver())
    await until(lambda: _is(telegram.sent))
    delivering.cancel()
    await asyncio.sleep(0)
    telegram.line.set()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert len(telegram.sent) == 1
    assert await desk.ledger.notices_owed() == 1
    await postman(desk, telegram).deliver()
    assert [place for place, _, _ in telegram.sent] == [ANNA.alone, ADMIN.alone]


async def test_a_busy_platform_is_left_alone_and_others_are_not_held_up(desk: Desk) -> None:
    telegram, discord = RememberingChat(), RememberingChat(Platform.DISCORD)
    telegram.errors = [ChatBusy("slow down", 30.0)]
    await desk.ledger.owe_letters([ANNA, ADMIN, BERT], "hello")
    await postman(desk, telegram, discord).deliver()
    assert telegram.sent == []
    assert len(discord.sent) == 1
    desk.clock.forward(seconds=31)
    await postman(desk, telegram).deliver()
    assert {place for place, _, _ in telegram.sent} == {ANNA.alone, ADMIN.alone}


async def test_who_cannot_be_reached_is_not_tried_again_and_a_failure_is(desk: Desk) -> None:
    telegram = RememberingChat()
    telegram.errors = [ChatUnreachable("blocked"), RuntimeError("no luck")]
    await desk.ledger.owe_letters([ANNA, ADMIN], "hello")
    await postman(desk, telegram).deliver()
    assert telegram.sent == []
    assert await desk.ledger.notices_owed() == 1
    desk.clock.forward(seconds=6)
    await postman(desk, telegram).deliver()
    assert [place for place, _, _ in telegram.sent] == [ADMIN.alone]


async def test_letters_wait_for_a_platform_that_is_switched_off(desk: Desk) -> None:
    await desk.ledger.owe_letters([BERT], "hello")
    await postman(desk, RememberingChat()).deliver()
    assert await desk.ledger.notices_owed() == 1


async def test_a_running_postman_is_woken_and_comes_back_when_a_letter_is_due(desk: Desk) -> None:
    telegram = RememberingChat()
    await desk.ledger.owe_letters([ANNA], "first")
    man = postman(desk, telegram)
    running = asyncio.create_task(man.run())

    async def has(count: int) -> bool:
        return len(telegram.sent) == count

    try:
        await until(lambda: has(1))
        await desk.ledger.owe_letters([Identity(Platform.TELEGRAM, "5")], "second")
        man.wake()
        await until(lambda: has(2))
    finally:
        running.cancel()
        await asyncio.wait([running])


async def _is(what: object) -> bool:
    return bool(what)
