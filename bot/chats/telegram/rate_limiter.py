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

#: An answer that its chat makes wait longer would come too late. A notice is put off much sooner, so that
#: those for other chats need not wait for it.
MAX_WAIT_S = {Priority.ANSWER: 600.0, Priority.NOTICE: 5.0, Priority.CARD: 0.0}
#: Chats are remembered for a moment only; so many may be before we look which are not needed.
MAX_REMEMBERED_CHATS = 1000
#: Where another call must be answered first, which takes nobody knows how long.
IN_FLIGHT_RETRY_S = 1.0


class TelegramRateLimiter(BaseRateLimiter[Priority]):
    """Answers first, then what we say of our own accord, then progress cards.

    python-telegram-bot's own limiter needs another package, knows no limit of a private chat, and after one
    429 lets nobody hear anything. Here only the chat it was about waits, and answers there keep their order.
    Of edits that wait, the newest alone is made.
    """

    def __init__(
        self,
        limits: RateLimits,
        sleep: Sleep = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = SendQueue(limits)
        #: Of calls that wait; the result says whether a call is still to be made.
        self._turn_futures: dict[ApiCall, asyncio.Future[bool]] = {}
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
        call = ApiCall(int(data["chat_id"]), priority, message_count, _edit_key(endpoint, data))
        give_up_at_s = self._clock_s() + MAX_WAIT_S[Priority.ANSWER]
        while await self._wait_turn(call):
            hold_s = 0.0
            try:
                return await callback(*args, **kwargs)
            except RetryAfter as error:
                hold_s = retry_after_s(error)
                if priority is not Priority.ANSWER or self._clock_s() + hold_s > give_up_at_s:
                    raise
            finally:
                self._queue.complete(call, self._clock_s(), hold_s)
                self._release_ready()
        return True

    async def _wait_turn(self, call: ApiCall) -> bool:
        """Wait until a call may be made. Return False when a newer edit made it needless."""
        wait_s = self._queue.chat_wait_s(call, self._clock_s())
        is_in_flight = math.isinf(wait_s)  # another call there ends first, nobody knows when
        if wait_s > MAX_WAIT_S[call.priority] and not (is_in_flight and call.priority is Priority.ANSWER):
            raise ChatBusy("enough was said in that chat", IN_FLIGHT_RETRY_S if is_in_flight else wait_s)
        turn_future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._turn_futures[call] = turn_future
        needless = self._queue.add(call)
        if needless is not None and not self._turn_futures[needless].cancelled():
            self._turn_futures[needless].set_result(False)
        self._release_ready()
        try:
            return await turn_future
        except asyncio.CancelledError:
            if not self._queue.remove(call) and call.has_begun:  # it was to go at that very moment
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
                turn_future.set_result(True)
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


def _edit_key(endpoint: str, data: dict[str, Any]) -> tuple[str, int] | None:
    """Return which message a call edits, and in which of Telegram's ways; None for a new message."""
    return (endpoint, int(data["message_id"])) if endpoint.startswith("editMessage") else None


def _count_messages(endpoint: str, data: dict[str, Any]) -> int:
    """Count the messages of a call as Telegram does."""
    if "chat_id" not in data or endpoint == "sendChatAction":
        return 0
    if endpoint == "sendMediaGroup":
        media = data["media"]
        return len(json.loads(media) if isinstance(media, str) else media)
    return int(endpoint.startswith(("send", "editMessage")))
