"""Updates of Telegram: in the database before Telegram hears that we have them, until they were worked off.

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
from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from bot.chats.telegram.errors import get_error, retry_after_s
from bot.chats.telegram.http import READ_TIMEOUT_S
from bot.chats.telegram.limits import Priority
from bot.core.errors import DatabaseError
from bot.core.outbox import IncomingUpdate
from bot.core.retry import Sleep
from bot.services import Services

log = logging.getLogger(__name__)


#: So many are worked off at the same time; the photos of an album each are one.
MAX_CONCURRENT_UPDATES = 256


#: Of those in one chat: answers there may have to wait for Telegram's limits, and others not for them.
MAX_CONCURRENT_PER_CHAT = 32


#: Who still waits when the bot ends is answered, unless it takes longer: then it is done at the next start.
SHUTDOWN_GRACE_S = 10.0


class UpdateProcessor:
    """Takes updates, works each off in a task of its own, and forgets it then."""

    def __init__(self, app: Application, services: Services) -> None:  # type: ignore[type-arg]
        self._app = app
        self._inbox = services.updates
        self._tasks: set[asyncio.Task[None]] = set()
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_UPDATES)
        self._replayed_ids: set[int] = set()
        self._chat_semaphores: WeakValueDictionary[int | None, asyncio.Semaphore] = (
            WeakValueDictionary()
        )  # by chat

    async def accept(self, updates: Sequence[Update]) -> None:
        """Keep updates and begin with those that are new; DatabaseError when they cannot be kept."""
        new_ids = await self._inbox.store([_to_incoming_update(each) for each in updates])
        for update in updates:
            if update.update_id in new_ids:
                self._start_processing(update)

    async def resume(self) -> None:
        """Begin again with what an earlier run was not done with."""
        for stored_update in await self._inbox.list_pending():
            update = parse_update(json.loads(stored_update.body), self._app.bot)
            if update is None:
                await self._inbox.mark_processed(stored_update.id)
                continue
            log.info("update %d is worked off again", stored_update.id)
            self._start_processing(update, is_replay=True)

    def is_replay(self, update_id: int) -> bool:
        """Return whether an earlier run began with an update that is processed now."""
        return update_id in self._replayed_ids

    async def close(self) -> None:
        """Wait for a while until what is under way has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SHUTDOWN_GRACE_S)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start_processing(self, update: Update, is_replay: bool = False) -> None:
        task = asyncio.create_task(self._process_update(update, is_replay), name=f"update-{update.update_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _process_update(self, update: Update, is_replay: bool) -> None:
        chat = update.effective_chat
        chat_id = None if chat is None else chat.id
        chat_semaphore = self._chat_semaphores.setdefault(chat_id, asyncio.Semaphore(MAX_CONCURRENT_PER_CHAT))
        if is_replay:
            self._replayed_ids.add(update.update_id)
        try:
            async with chat_semaphore, self._semaphore:
                if not (is_replay and await self._inbox.has_job(idempotency_key(update))):
                    await self._app.process_update(update)
            await self._inbox.mark_processed(update.update_id)
        except DatabaseError as error:  # it is worked off again at the next start
            log.error("update %d could not be noted as worked off: %s", update.update_id, error)
        except Exception:
            log.exception("update %d could not be worked off", update.update_id)
        finally:
            self._replayed_ids.discard(update.update_id)


def parse_update(raw: Any, bot: Bot) -> Update | None:
    """Read an update as it came; None, with a line in the log, for one that would read no better later."""
    try:
        return Update.de_json(raw, bot)
    except (ValueError, TypeError, KeyError, AttributeError):
        log.exception("an update of Telegram could not be read")
        return None


def _to_incoming_update(update: Update) -> IncomingUpdate:
    user = update.effective_user
    return IncomingUpdate(update.update_id, "" if user is None else str(user.id), update.to_json())


def idempotency_key(update: Update) -> str:
    """Name what an update asks for: an album is one, in as many updates as it has photos."""
    message = update.message
    if message is not None and message.media_group_id is not None:
        return f"telegram:album:{message.chat.id}:{message.media_group_id}"
    return f"telegram:{update.update_id}"


#: Telegram answers at once when there is something, and else after so long.
LONG_POLL_S = 10


#: To read and to write down 100, which Telegram would give, holds everybody up for 60 ms and more.
MAX_UPDATES = 40


#: Seconds between attempts while something is wrong: 1, 1.5, 2.25 and so on, at most 30.
_BACKOFF = wait_exponential(multiplier=1.0, exp_base=1.5, max=30.0)


_T = TypeVar("_T")


class PollingBot(ExtBot[Priority]):
    """The library's bot, which gives updates as they are: where it cannot read one it would give none."""

    async def fetch_updates(self, offset: int | None, allowed_updates: Sequence[str]) -> list[dict[str, Any]]:
        """Ask for updates from a number on, and wait a while where there are none."""
        data = {
            "offset": offset,
            "limit": MAX_UPDATES,
            "timeout": LONG_POLL_S,
            "allowed_updates": list(allowed_updates),
        }
        return list(await self._post("getUpdates", data, read_timeout=READ_TIMEOUT_S + LONG_POLL_S))


class UpdatePoller:
    """What was handed over is kept first and confirmed then, by asking for what comes after it."""

    def __init__(
        self,
        bot: PollingBot,
        processor: UpdateProcessor,
        allowed_updates: Sequence[str],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._bot = bot
        self._processor = processor
        self._allowed_updates = allowed_updates
        self._sleep = sleep

    async def run(self) -> None:
        """Ask until cancelled; whatever goes wrong is logged and tried again."""
        await self._retry_forever(
            self._bot.delete_webhook
        )  # while there is one, Telegram refuses to be asked
        offset: int | None = None
        while True:
            if raw_updates := await self._retry_forever(
                partial(self._bot.fetch_updates, offset, self._allowed_updates)
            ):
                updates = [
                    each for each in (parse_update(raw, self._bot) for raw in raw_updates) if each is not None
                ]
                await self._retry_forever(partial(self._processor.accept, updates))
                offset = raw_updates[-1]["update_id"] + 1

    async def _retry_forever(self, call: Callable[[], Awaitable[_T]]) -> _T:
        return await AsyncRetrying(wait=_retry_delay_s, before_sleep=_log_retry, sleep=self._sleep)(call)


def _retry_delay_s(state: RetryCallState) -> float:
    error = get_error(state)
    return retry_after_s(error) if isinstance(error, RetryAfter) else _BACKOFF(state)


def _log_retry(state: RetryCallState) -> None:
    match error := get_error(state):
        case RetryAfter():
            log.warning("Telegram refuses to be asked for updates for %.0f s", state.upcoming_sleep)
        case Conflict():
            log.error("another program asks for this bot's updates (%s); it has to end", error.message)
        case TimedOut():
            log.info("Telegram did not answer in time; it is asked again")
        case TelegramError():
            log.warning("updates cannot be had (%s: %s); trying again", type(error).__name__, error.message)
        case DatabaseError():
            log.error("updates cannot be kept: %s; trying again", error)
        case _:
            log.error("updates cannot be read; trying again", exc_info=error)
