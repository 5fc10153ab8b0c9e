"""Keeps what we send to Telegram within its limits, below python-telegram-bot's calls."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from telegram.error import RetryAfter
from telegram.ext import BaseRateLimiter

from bot.chats.telegram.errors import seconds_of
from bot.chats.telegram.limits import Call, Limits, Line, Rank
from bot.core.errors import ChatBusy

#: A notice that its chat makes wait longer is put off, so that those for other chats need not wait for it.
LONGEST_NOTICE_S = 5.0
#: Chats are remembered for a moment only; so many may be before we look which are not needed.
MANY_CHATS = 1000
#: Where another call must be answered first, which takes nobody knows how long.
UNDER_WAY_S = 1.0


class Limiter(BaseRateLimiter[Rank]):
    """Answers first, then what we say of our own accord, then progress cards.

    python-telegram-bot's own limiter needs another package, knows no limit of a private chat, and after one
    429 lets nobody hear anything. Here only the chat it was about waits.
    """

    def __init__(self, limits: Limits) -> None:
        self._line = Line(limits)
        self._turns: dict[Call, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

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
        rate_limit_args: Rank | None,
    ) -> Any:
        """Make a call when its turn comes; ChatBusy when that is too late to be worth waiting for."""
        weight = _messages(endpoint, data)
        if not weight:
            return await callback(*args, **kwargs)
        rank = Rank.ANSWER if rate_limit_args is None else rate_limit_args
        call = Call(int(data["chat_id"]), rank, weight)
        await self._turn(call)
        hold_s = 0.0
        try:
            return await callback(*args, **kwargs)
        except RetryAfter as error:
            hold_s = seconds_of(error)
            raise
        finally:
            self._line.end(call, self._now_s(), hold_s)
            self._look()

    async def _turn(self, call: Call) -> None:
        wait_s = self._line.chat_wait_s(call, self._now_s())
        patience_s = {Rank.ANSWER: math.inf, Rank.NOTICE: LONGEST_NOTICE_S, Rank.CARD: 0.0}[call.rank]
        if wait_s > patience_s:
            raise ChatBusy("enough was said in that chat", wait_s if math.isfinite(wait_s) else UNDER_WAY_S)
        turn = self._turns[call] = asyncio.get_running_loop().create_future()
        self._line.join(call)
        self._look()
        try:
            await turn
        except asyncio.CancelledError:
            if not self._line.leave(call):  # it was to go at that very moment
                self._line.end(call, self._now_s())
            self._look()
            raise
        finally:
            del self._turns[call]

    def _look(self) -> None:
        """Let those go whose turn it is, and look again when that of the next one comes."""
        now_s = self._now_s()
        for call in self._line.go(now_s):
            turn = self._turns[call]
            if not turn.cancelled():  # else it gives up, and ends it
                turn.set_result(None)
        if len(self._line) > MANY_CHATS:
            self._line.tidy(now_s)
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._line.wait_s(now_s)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, self._look) if math.isfinite(wait_s) else None

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def _messages(endpoint: str, data: dict[str, Any]) -> int:
    """Count the messages of a call as Telegram does."""
    if "chat_id" not in data or endpoint == "sendChatAction":
        return 0
    if endpoint == "sendMediaGroup":
        media = data["media"]
        return len(json.loads(media) if isinstance(media, str) else media)
    return int(endpoint.startswith(("send", "editMessage")))
