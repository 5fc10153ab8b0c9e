"""Remove deleted results from the messages that show them: their cards, and messages of `/show`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from bot.core.accounts import Platform
from bot.core.jobs import JobId
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import StaleMessage
from bot.db import Database
from bot.delivery.outbox import Outbox
from bot.texts import translate, use_language
from bot.texts.results import result_title

BATCH_SIZE = 100


class DeletionOutbox(Outbox[StaleMessage]):
    """Messages that still show a deleted result. `lock_for` gives the lock of a job's card."""

    name = "deletion"

    def __init__(self, database: Database, lock_for: Callable[[JobId], asyncio.Lock]) -> None:
        self._database = database
        self._lock_for = lock_for

    async def list_due(self, platform: Platform) -> Sequence[StaleMessage]:
        """Return messages that are to be changed now."""
        return await self._database.outbox.list_due_stale_messages(BATCH_SIZE, platform)

    async def next_due_at(self, platform: Platform) -> datetime | None:
        """Return when the next message is to be changed."""
        return await self._database.outbox.next_stale_message_at(platform)

    async def deliver(self, chat: ChatAdapter, message: StaleMessage) -> str:
        """Edit a message so that it says that its result was deleted."""
        with use_language(await self._database.accounts.get_language(message.address.identity)):
            replacement = Reply(translate("result-deleted", result=result_title(message.job)))
        async with self._lock_for(message.job.id):
            return await chat.edit(message.address, message.message_id, replacement)

    async def finish(self, message: StaleMessage, message_id: str | None) -> None:
        """Forget a message that no longer shows its result, or that nobody can change."""
        await self._database.outbox.delete_stale_message(message)

    async def reschedule(self, message: StaleMessage, at: datetime) -> None:
        """Try a message again at a time."""
        await self._database.outbox.schedule_stale_message_retry(message, at)
