"""Updates of Telegram: in the ledger before Telegram hears that we have them, until they were worked off.

Asks Telegram for updates, for as long as the bot runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from telegram import Bot, Update
from telegram.error import Conflict, RetryAfter, TelegramError, TimedOut
from telegram.ext import Application, ExtBot

from bot.chats.telegram.errors import seconds_of
from bot.chats.telegram.http import READ_TIMEOUT_S
from bot.chats.telegram.limits import Rank
from bot.core.errors import LedgerError
from bot.core.messages import asked_by
from bot.core.outbox import Handed
from bot.services.studio import Studio

log = logging.getLogger(__name__)


#: So many are worked off at the same time; the photos of an album each are one.
MAX_AT_ONCE = 256


#: Of those in one chat: answers there may have to wait for Telegram's limits, and others not for them.
MAX_AT_ONCE_IN_A_CHAT = 32


#: Who still waits when the bot ends is answered, unless it takes longer: then it is done at the next start.
LAST_ANSWERS_S = 10.0


class Incoming:
    """Takes updates, works each off in a task of its own, and forgets it then."""

    def __init__(self, app: Application, studio: Studio) -> None:  # type: ignore[type-arg]
        self._app = app
        self._intake = studio.intake
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._rooms: WeakValueDictionary[int | None, asyncio.Semaphore] = WeakValueDictionary()  # by chat

    async def take(self, updates: Sequence[Update]) -> None:
        """Keep updates and begin with those that are new; LedgerError when they cannot be kept."""
        new = await self._intake.take([_handed(each) for each in updates])
        for update in updates:
            if update.update_id in new:
                self._begin(update)

    async def resume(self) -> None:
        """Begin again with what an earlier run was not done with."""
        for each in await self._intake.left_over():
            update = read(json.loads(each.body), self._app.bot)
            if update is None:
                await self._intake.worked_off(each.id)
                continue
            log.info("update %d is worked off again", each.id)
            self._begin(update, is_again=True)

    async def close(self) -> None:
        """Let what is under way come to its end, for a while."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_ANSWERS_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, update: Update, is_again: bool = False) -> None:
        task = asyncio.create_task(self._work_off(update, is_again), name=f"update-{update.update_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self, update: Update, is_again: bool) -> None:
        chat = update.effective_chat
        name = None if chat is None else chat.id
        its_room = self._rooms.setdefault(name, asyncio.Semaphore(MAX_AT_ONCE_IN_A_CHAT))
        try:
            async with its_room, self._room:
                with asked_by(_name_of(update), is_again=is_again):
                    if not (is_again and await self._intake.has_begun()):
                        await self._app.process_update(update)
            await self._intake.worked_off(update.update_id)
        except LedgerError as error:  # it is worked off again at the next start
            log.error("update %d could not be noted as worked off: %s", update.update_id, error)
        except Exception:
            log.exception("update %d could not be worked off", update.update_id)


def read(raw: Any, bot: Bot) -> Update | None:
    """Read an update as it came; None, with a line in the log, for one that would read no better later."""
    try:
        return Update.de_json(raw, bot)
    except (ValueError, TypeError, KeyError, AttributeError):
        log.exception("an update of Telegram could not be read")
        return None


def _handed(update: Update) -> Handed:
    user = update.effective_user
    return Handed(update.update_id, "" if user is None else str(user.id), update.to_json())


def _name_of(update: Update) -> str:
    """Name what an update asks for: an album is one, in as many updates as it has photos."""
    message = update.message
    if message is not None and message.media_group_id is not None:
        return f"telegram:album:{message.chat.id}:{message.media_group_id}"
    return f"telegram:{update.update_id}"


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
