"""Asks Telegram for updates, for as long as the bot runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from telegram import Bot
from telegram.error import Conflict, RetryAfter, TelegramError, TimedOut

from bot.chats.telegram._errors import seconds_of
from bot.chats.telegram._incoming import Incoming
from bot.errors import LedgerError

log = logging.getLogger(__name__)

#: Telegram answers at once when there is something, and else after so long.
WAIT_S = 10
#: To read and to write down 100, which Telegram would give, holds everybody up for 60 ms and more.
MOST_UPDATES = 40
#: Between tries while something is wrong, from the first to the longest; each is half as long again.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
_T = TypeVar("_T")


class Polling:
    """What was handed over is kept first and confirmed then, by asking for what comes after it."""

    def __init__(self, bot: Bot, incoming: Incoming, updates: Sequence[str]) -> None:
        self._bot = bot
        self._incoming = incoming
        self._updates = updates

    async def run(self) -> None:
        """Ask until cancelled; whatever goes wrong is logged and tried again."""
        await _insist(self._bot.delete_webhook)  # while there is one, Telegram refuses to be asked
        offset: int | None = None
        while True:
            ask = partial(
                self._bot.get_updates,
                offset=offset,
                limit=MOST_UPDATES,
                timeout=WAIT_S,
                allowed_updates=list(self._updates),
            )
            if updates := await _insist(ask):
                await _insist(partial(self._incoming.take, updates))
                offset = updates[-1].update_id + 1


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
