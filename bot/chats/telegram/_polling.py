"""Asks Telegram for updates, for as long as the bot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from telegram.error import Conflict, RetryAfter, TelegramError, TimedOut
from telegram.ext import ExtBot

from bot.chats.telegram._errors import seconds_of
from bot.chats.telegram._http import READ_TIMEOUT_S
from bot.chats.telegram._incoming import Incoming, read
from bot.chats.telegram._pace import Rank
from bot.errors import LedgerError

log = logging.getLogger(__name__)

#: Telegram answers at once when there is something, and else after so long.
WAIT_S = 10
#: To read and to write down 100, which Telegram would give, holds everybody up for 60 ms and more.
MOST_UPDATES = 40
#: Between tries while something is wrong, from the first to the longest; each is half as long again.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
_T = TypeVar("_T")


class PolledBot(ExtBot[Rank]):
    """The library's bot, which gives updates as they are: where it cannot read one it would give none."""

    async def handed_over(self, offset: int | None, kinds: Sequence[str]) -> list[dict[str, Any]]:
        """Ask for updates from a number on, and wait a while where there are none."""
        data = {"offset": offset, "limit": MOST_UPDATES, "timeout": WAIT_S, "allowed_updates": list(kinds)}
        return list(await self._post("getUpdates", data, read_timeout=READ_TIMEOUT_S + WAIT_S))


class Polling:
    """What was handed over is kept first and confirmed then, by asking for what comes after it."""

    def __init__(self, bot: PolledBot, incoming: Incoming, updates: Sequence[str]) -> None:
        self._bot = bot
        self._incoming = incoming
        self._updates = updates

    async def run(self) -> None:
        """Ask until cancelled; whatever goes wrong is logged and tried again."""
        await _insist(self._bot.delete_webhook)  # while there is one, Telegram refuses to be asked
        offset: int | None = None
        while True:
            if handed := await _insist(partial(self._bot.handed_over, offset, self._updates)):
                updates = [each for each in (read(raw, self._bot) for raw in handed) if each is not None]
                await _insist(partial(self._incoming.take, updates))
                offset = handed[-1]["update_id"] + 1


async def _insist(call: Callable[[], Awaitable[_T]]) -> _T:
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await call()
        except RetryAfter as error:
            wait_s = seconds_of(error)
            log.warning("Telegram asks to wait %.0f s before it is asked for updates again", wait_s)
            await asyncio.sleep(wait_s)
            continue
        except Conflict as error:
            log.error("another program asks for this bot's updates (%s); it has to end", error.message)
        except TimedOut:
            log.info("Telegram did not answer in time; it is asked again")
        except TelegramError as error:
            log.warning("updates cannot be had (%s: %s); trying again", type(error).__name__, error.message)
        except LedgerError as error:
            log.error("updates cannot be kept: %s; trying again", error)
        except Exception:
            log.exception("updates cannot be read; trying again")
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 1.5)
