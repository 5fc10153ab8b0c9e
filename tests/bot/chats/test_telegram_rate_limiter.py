"""Calls that wait for their turn at Telegram, and give up."""

from __future__ import annotations

import asyncio

import pytest

from bot.chats.telegram.limits import RateLimit, RateLimits
from bot.chats.telegram.rate_limiter import TelegramRateLimiter
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
