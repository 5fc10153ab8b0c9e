"""Takes deleted results out of the messages that show them: their cards, and what `/show` brought."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import JobId
from bot.core.logging import log_context
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import StaleMessage
from bot.core.retry import MAX_BACKOFF_S, backoff_s, wait_for_event
from bot.db import Database
from bot.texts import translate, use_language
from bot.texts.results import result_title

log = logging.getLogger(__name__)

BATCH_SIZE = 100


class StaleMessages:
    """Messages come from the ledger, so a restart loses none. `lock_of` is held while a job's is changed."""

    def __init__(
        self,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        clock: Callable[[], datetime],
        lock_for: Callable[[JobId], asyncio.Lock],
    ) -> None:
        self._database = database
        self._chats = chats
        self._clock = clock
        self._lock_for = lock_for
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """Say that a result was deleted."""
        self._wake_event.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake_event.clear()
            await self.scrub()
            due_at = await self._database.outbox.next_stale_message_at()
            wait_s = None if due_at is None else max(0.0, (due_at - self._clock()).total_seconds())
            await wait_for_event(self._wake_event, wait_s)

    async def scrub(self) -> None:
        """Change the messages that are due now."""
        for message in await self._database.outbox.list_due_stale_messages(BATCH_SIZE):
            with log_context(job=message.job.id, account=message.job.account):
                await self._scrub_message(message)

    async def _scrub_message(self, message: StaleMessage) -> None:
        chat = self._chats.get(message.address.platform)
        if chat is None:  # it may be on again after a restart with its token
            await self._reschedule(message, MAX_BACKOFF_S)
            return
        try:
            with use_language(await self._database.accounts.get_language(message.address.identity)):
                replacement = Reply(translate("result-deleted", result=result_title(message.job)))
            async with self._lock_for(message.job.id):
                await chat.edit(message.address, message.message_id, replacement)
        except ChatUnreachable as error:
            log.info("a message with a deleted result is gone, or out of reach: %s", error)
        except ChatBusy as busy:
            await self._reschedule(message, max(busy.retry_after_s, backoff_s(message.tries)))
            return
        except Exception:
            log.exception("a message could not lose a deleted result; it is tried again")
            await self._reschedule(message, backoff_s(message.tries))
            return
        await self._database.outbox.delete_stale_message(message)

    async def _reschedule(self, message: StaleMessage, delay_s: float) -> None:
        await self._database.outbox.schedule_stale_message_retry(
            message, self._clock() + timedelta(seconds=delay_s)
        )
