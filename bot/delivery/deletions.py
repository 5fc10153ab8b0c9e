"""Takes deleted results out of the messages that show them: their cards, and what `/show` brought."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from bot import texts
from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.jobs import JobId
from bot.core.logging import about
from bot.core.messages import Chat
from bot.core.outbox import Copy
from bot.core.retry import MAX_BACK_OFF_S, back_off_s, ring
from bot.db import Ledger

log = logging.getLogger(__name__)

BATCH = 100


class Copies:
    """Messages come from the ledger, so a restart loses none. `lock_of` is held while a job's is changed."""

    def __init__(
        self,
        ledger: Ledger,
        chats: Mapping[Platform, Chat],
        clock: Callable[[], datetime],
        lock_of: Callable[[JobId], asyncio.Lock],
    ) -> None:
        self._ledger = ledger
        self._chats = chats
        self._clock = clock
        self._lock_of = lock_of
        self._deleted = asyncio.Event()

    def wake(self) -> None:
        """Say that a result was deleted."""
        self._deleted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._deleted.clear()
            await self.take_out()
            due = await self._ledger.next_copy_at()
            wait_s = None if due is None else max(0.0, (due - self._clock()).total_seconds())
            await ring(self._deleted, wait_s)

    async def take_out(self) -> None:
        """Change the messages that are due now."""
        for copy in await self._ledger.copies_due(BATCH):
            with about(job=copy.job.id, account=copy.job.account):
                await self._take_out(copy)

    async def _take_out(self, copy: Copy) -> None:
        chat = self._chats.get(copy.place.platform)
        if chat is None:  # it may be on again after a restart with its token
            await self._later(copy, MAX_BACK_OFF_S)
            return
        try:
            with texts.use_language(await self._ledger.language_of(copy.place.person)):
                gone = texts.result_deleted(copy.job)
            async with self._lock_of(copy.job.id):
                await chat.edit(copy.place, copy.message_id, gone)
        except ChatUnreachable as error:
            log.info("a message with a deleted result is gone, or out of reach: %s", error)
        except ChatBusy as busy:
            await self._later(copy, max(busy.retry_after_s, back_off_s(copy.tries)))
            return
        except Exception:
            log.exception("a message could not lose a deleted result; it is tried again")
            await self._later(copy, back_off_s(copy.tries))
            return
        await self._ledger.copy_ended(copy)

    async def _later(self, copy: Copy, pause_s: float) -> None:
        await self._ledger.copy_retry(copy, self._clock() + timedelta(seconds=pause_s))
