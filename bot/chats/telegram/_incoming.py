"""Updates of Telegram: in the ledger before Telegram hears that we have them, until they were worked off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from telegram import Bot, Update
from telegram.ext import Application

from bot.asking import asked_by
from bot.domain import Handed
from bot.errors import LedgerError
from bot.studio import Studio

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
