"""Brings letters: one after another on each platform, no faster than the platform likes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.accounts import Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import DirectMessage
from bot.core.retry import backoff_s, run_to_completion, wait_for_event
from bot.db import Database
from bot.texts import use_language
from bot.texts.sharing import access_granted, share_card

log = logging.getLogger(__name__)

#: Telegram lets a bot write to 30 people a second in all; answers to people come first.
SEND_INTERVAL_S = 0.1


class DirectMessageSender:
    """Letters come from the ledger and survive everything. `pause_s` lies between two on one platform."""

    def __init__(
        self,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        clock: Callable[[], datetime],
        send_interval_s: float = SEND_INTERVAL_S,
    ) -> None:
        self._database = database
        self._chats = chats
        self._clock = clock
        self._send_interval_s = send_interval_s
        self._wake_events: dict[Platform, asyncio.Event] = {}

    def wake(self) -> None:
        """Say that letters are owed."""
        for wake_event in self._wake_events.values():
            wake_event.set()

    async def run(self) -> None:
        """Deliver until cancelled, on every platform that is switched on."""
        await self._database.outbox.resume_broadcasts()
        async with asyncio.TaskGroup() as tasks:
            for platform in self._chats:
                tasks.create_task(self._run_platform(platform), name=f"letters-{platform}")
            await asyncio.Event().wait()  # also with no platform at all

    async def deliver_due(self) -> None:
        """Deliver what is due now."""
        await asyncio.gather(*(self._deliver_all(platform) for platform in self._chats))

    async def _run_platform(self, platform: Platform) -> None:
        wake_event = self._wake_events[platform] = asyncio.Event()
        while True:
            wake_event.clear()
            delay_s = await self._deliver_all(platform)
            due_at = await self._database.outbox.next_direct_message_at(platform)
            if due_at is not None:
                delay_s = max(delay_s, (due_at - self._clock()).total_seconds())
            await wait_for_event(wake_event, None if due_at is None else delay_s)

    async def _deliver_all(self, platform: Platform) -> float:
        """Deliver one after another; gives how long the platform wants to be left alone then."""
        await self._database.sharing.forward_requests()
        while (message := await self._database.outbox.get_due_direct_message(platform)) is not None:
            try:
                await run_to_completion(self._deliver_message(self._chats[platform], message))
            except ChatBusy as busy:  # what was not tried yet waits as well
                await self._database.outbox.schedule_direct_message_retry(
                    message, self._clock() + timedelta(seconds=busy.retry_after_s)
                )
                return busy.retry_after_s
            await asyncio.sleep(self._send_interval_s)
        return 0.0

    async def _deliver_message(self, chat: ChatAdapter, message: DirectMessage) -> None:
        try:
            with use_language(await self._database.accounts.get_language(message.recipient)):
                reply = _build_reply(message)
            if reply is not None:
                account_id = await self._database.accounts.find_by_identity(message.recipient)
                if account_id is not None:
                    reply = replace(
                        reply, is_silent=(await self._database.accounts.get_preferences(account_id)).is_silent
                    )
                await chat.send(message.recipient.private_address, reply, nonce=f"letter-{message.id}")
        except ChatUnreachable as error:
            log.info("letter %d cannot be delivered: %s", message.id, error)
        except ChatBusy:
            raise
        except Exception:
            log.exception("letter %d failed; it is tried again", message.id)
            delay = timedelta(seconds=backoff_s(message.tries))
            await self._database.outbox.schedule_direct_message_retry(message, self._clock() + delay)
            return
        await self._database.outbox.delete_direct_message(message)


def _build_reply(message: DirectMessage) -> Reply | None:
    """Give what a letter says; nothing when its owner thought better of what whoever asked was to hear."""
    share = message.share
    if share is None:
        return Reply(message.text)
    if message.recipient == share.address.identity:
        return Reply(access_granted(share)) if share.is_granted else None
    return share_card(share)
