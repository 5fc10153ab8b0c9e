"""Keeps what we send to Telegram within its limits, below python-telegram-bot's calls."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

from bot.chats.telegram.errors import retry_after_s
from bot.chats.telegram.limits import ApiCall, Priority, RateLimits, SendQueue
from bot.core.errors import ChatBusy
from bot.core.retry import Sleep

#: A notice that its chat makes wait longer is put off, so that those for other chats need not wait for it.
MAX_NOTICE_WAIT_S = 5.0
#: Chats are remembered for a moment only; so many may be before we look which are not needed.
MAX_REMEMBERED_CHATS = 1000
#: Where another call must be answered first, which takes nobody knows how long.
IN_FLIGHT_RETRY_S = 1.0


class TelegramRateLimiter(BaseRateLimiter[Priority]):
    """Answers first, then what we say of our own accord, then progress cards.

    python-telegram-bot's own limiter needs another package, knows no limit of a private chat, and after one
    429 lets nobody hear anything. Here only the chat it was about waits.
    """

    def __init__(
        self,
        limits: RateLimits,
        sleep: Sleep = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = SendQueue(limits)
        self._turn_futures: dict[ApiCall, asyncio.Future[None]] = {}
        self._sleep = sleep
        self._clock_s = clock_s
        self._timer: asyncio.Task[None] | None = None

    async def initialize(self) -> None:
        """There is nothing to prepare."""

    async def shutdown(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: Priority | None,
    ) -> Any:
        """Make a call when its turn comes; ChatBusy when that is too late to be worth waiting for."""
        message_count = _count_messages(endpoint, data)
        if not message_count:
            return await callback(*args, **kwargs)
        priority = Priority.ANSWER if rate_limit_args is None else rate_limit_args
        call = ApiCall(int(data["chat_id"]), priority, message_count)
        await self._wait_turn(call)
        hold_s = 0.0
        try:
            return await callback(*args, **kwargs)
        except RetryAfter as error:
            hold_s = retry_after_s(error)
            raise
        finally:
            self._queue.complete(call, self._clock_s(), hold_s)
            self._release_ready()

    async def _wait_turn(self, call: ApiCall) -> None:
        wait_s = self._queue.chat_wait_s(call, self._clock_s())
        max_wait_s = {Priority.ANSWER: math.inf, Priority.NOTICE: MAX_NOTICE_WAIT_S, Priority.CARD: 0.0}[
            call.priority
        ]
        if wait_s > max_wait_s:
            raise ChatBusy(
                "enough was said in that chat", wait_s if math.isfinite(wait_s) else IN_FLIGHT_RETRY_S
            )
        turn_future = self._turn_futures[call] = asyncio.get_running_loop().create_future()
        self._queue.add(call)
        self._release_ready()
        try:
            await turn_future
        except asyncio.CancelledError:
            if not self._queue.remove(call):  # it was to go at that very moment
                self._queue.complete(call, self._clock_s())
            self._release_ready()
            raise
        finally:
            del self._turn_futures[call]

    def _release_ready(self) -> None:
        """Let those go whose turn it is, and look again when that of the next one comes."""
        now_s = self._clock_s()
        for call in self._queue.pop_ready(now_s):
            turn_future = self._turn_futures[call]
            if not turn_future.cancelled():  # else it gives up, and ends it
                turn_future.set_result(None)
        if len(self._queue) > MAX_REMEMBERED_CHATS:
            self._queue.drop_idle_chats(now_s)
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._queue.wait_s(now_s)
        self._timer = asyncio.create_task(self._release_later(wait_s)) if math.isfinite(wait_s) else None

    async def _release_later(self, wait_s: float) -> None:
        await self._sleep(wait_s)
        self._timer = None
        self._release_ready()


def _count_messages(endpoint: str, data: dict[str, Any]) -> int:
    """Count the messages of a call as Telegram does."""
    if "chat_id" not in data or endpoint == "sendChatAction":
        return 0
    if endpoint == "sendMediaGroup":
        media = data["media"]
        return len(json.loads(media) if isinstance(media, str) else media)
    return int(endpoint.startswith(("send", "editMessage")))
