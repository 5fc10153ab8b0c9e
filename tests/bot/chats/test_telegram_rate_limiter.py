"""Calls that wait for their turn at Telegram, and give up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from telegram.error import RetryAfter

from bot.chats.telegram.limits import Priority, RateLimit, RateLimits
from bot.chats.telegram.rate_limiter import TelegramRateLimiter
from bot.core.errors import ChatBusy
from tests.support.skipped_time import SkippedTime

ONE_BY_ONE = RateLimits(*(RateLimit(1, 0.0, 1) for _ in range(3)))


async def test_a_waiter_cancelled_at_its_turn_disturbs_no_other() -> None:
    limiter, is_answered = TelegramRateLimiter(ONE_BY_ONE), asyncio.Event()

    async def send() -> str:
        await is_answered.wait()
        return "sent"

    first, second, third = [
        asyncio.create_task(limiter.process_request(send, (), {}, "sendMessage", {"chat_id": 7}, None))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    is_answered.set()  # the first is done in the very moment in which the second gives up
    second.cancel()
    async with asyncio.timeout(60):
        assert await asyncio.gather(first, third) == ["sent", "sent"]
    assert second.cancelled()


async def test_a_second_call_of_a_chat_waits_for_its_period_by_the_given_clock() -> None:
    time, each_minute = SkippedTime(), RateLimit(1, 60.0, 1)
    limiter = TelegramRateLimiter(
        RateLimits(each_minute, each_minute, each_minute), time.sleep, time.monotonic_s
    )

    async def send() -> float:
        return time.monotonic_s()

    first_s, second_s = [
        await limiter.process_request(send, (), {}, "sendMessage", {"chat_id": 7}, None) for _ in range(2)
    ]
    assert second_s - first_s >= 60.0
    assert time.pauses_s == [pytest.approx(60.0, abs=5.0)]


class HeldTime:
    """A clock that goes on only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        is_over = asyncio.Event()
        self._sleepers.append((self.now_s + seconds, is_over))
        await is_over.wait()

    async def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        for end_s, is_over in self._sleepers:
            if end_s <= self.now_s:
                is_over.set()
        for _ in range(20):  # everybody who was woken goes on
            await asyncio.sleep(0)


class Telegram:
    """Telegram, which is told how long it asks to be left alone at its next calls."""

    def __init__(self, *retry_after_s: int) -> None:
        self.time = HeldTime()
        self.limiter = TelegramRateLimiter(RateLimits(), self.time.sleep, self.time.monotonic_s)
        self.received: list[tuple[float, str]] = []
        self.retry_after_s = list(retry_after_s)

    def call(
        self, text: str, chat_id: int = 7, message_id: int | None = None, priority: Priority = Priority.ANSWER
    ) -> asyncio.Task[Any]:
        """Send a text, or edit a message to read so."""

        async def receive() -> str:
            if self.retry_after_s:
                raise RetryAfter(self.retry_after_s.pop(0))
            self.received.append((self.time.now_s, text))
            return text

        data = {"chat_id": chat_id} if message_id is None else {"chat_id": chat_id, "message_id": message_id}
        endpoint = "sendMessage" if message_id is None else "editMessageText"
        return asyncio.create_task(self.limiter.process_request(receive, (), {}, endpoint, data, priority))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.received]


async def test_after_a_long_429_answers_come_in_the_order_in_which_they_were_given() -> None:
    telegram = Telegram(400)
    calls = [telegram.call("one")]
    await telegram.time.pass_s(0)
    calls += [telegram.call(each) for each in ("two", "three", "four", "five")]
    await telegram.time.pass_s(399)
    assert telegram.received == []
    for _ in range(10):
        await telegram.time.pass_s(1)
    assert telegram.texts == ["one", "two", "three", "four", "five"]
    assert telegram.received[0][0] == 400
    assert [await each for each in calls] == telegram.texts


async def test_answers_in_other_chats_do_not_wait_for_a_429() -> None:
    telegram = Telegram(400)
    waiting = [telegram.call("mine")]
    await telegram.time.pass_s(0)
    waiting += [telegram.call("mine too") for _ in range(40)]
    others = [telegram.call("theirs", chat_id) for chat_id in (8, 9, -10)]
    await telegram.time.pass_s(0)
    assert [await each for each in others] == ["theirs"] * 3
    assert telegram.received[-1][0] == 0
    for each in waiting:
        each.cancel()


async def test_an_edit_that_waits_gives_way_to_a_newer_one_of_the_same_message() -> None:
    telegram = Telegram(400)
    calls = [telegram.call("1 of 5", message_id=3)]
    await telegram.time.pass_s(0)
    calls += [telegram.call(each, message_id=3) for each in ("2 of 5", "3 of 5")]
    calls += [telegram.call("another message", message_id=4), telegram.call("an answer")]
    for _ in range(410):
        await telegram.time.pass_s(1)
    assert telegram.texts == ["3 of 5", "another message", "an answer"]
    assert [await each for each in calls] == [True, True, *telegram.texts]


async def test_an_edit_of_another_chat_or_kind_gives_way_to_none() -> None:
    telegram = Telegram(400, 400)
    first = telegram.call("photo", message_id=3)
    theirs = telegram.call("theirs", chat_id=8, message_id=3)
    await telegram.time.pass_s(0)
    caption = telegram.limiter.process_request(
        lambda: _note(telegram, "caption"),
        (),
        {},
        "editMessageCaption",
        {"chat_id": 7, "message_id": 3},
        None,
    )
    second = asyncio.create_task(caption)
    for _ in range(410):
        await telegram.time.pass_s(1)
    await asyncio.gather(first, theirs, second)
    assert sorted(telegram.texts) == ["caption", "photo", "theirs"]


async def test_an_answer_that_would_come_far_too_late_is_given_up() -> None:
    telegram = Telegram(3600)
    with pytest.raises(RetryAfter):
        await telegram.call("one")
    with pytest.raises(ChatBusy):
        await telegram.call("two")
    await telegram.time.pass_s(3001)
    last = telegram.call("three")
    await telegram.time.pass_s(600)
    assert await last == "three"


async def test_a_notice_is_put_off_by_a_429_at_once() -> None:
    telegram = Telegram(400)
    with pytest.raises(RetryAfter):
        await telegram.call("done", priority=Priority.NOTICE)


async def _note(telegram: Telegram, text: str) -> None:
    telegram.received.append((telegram.time.now_s, text))
