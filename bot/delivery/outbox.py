"""The one loop that delivers messages that are owed: notices, direct messages and deletions.

The rows of the database are the truth. A row stays until its platform has taken the message, so each is
delivered at least once. What fails is tried again later, after a pause that doubles up to an hour.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, ChatUnreachable
from bot.core.logging import log_context
from bot.core.messages import ChatAdapter
from bot.core.outbox import DirectMessage, Notice, StaleMessage
from bot.core.retry import SHUTDOWN_GRACE_S, backoff_s, run_to_completion, wait_for_event

log = logging.getLogger(__name__)

#: From this attempt on, a message that its platform is too busy for is a warning in the log.
WARN_AFTER_ATTEMPTS = 4


MessageT = TypeVar("MessageT", Notice, DirectMessage, StaleMessage)


class Outbox(Protocol[MessageT]):
    """A table of messages that are owed, and how one of them is delivered."""

    name: str  #: what log lines call one of its messages

    async def list_due(self, platform: Platform) -> Sequence[MessageT]:
        """Return messages that are due on a platform, the oldest first; empty when none is."""

    async def next_due_at(self, platform: Platform) -> datetime | None:
        """Return when the next message of a platform is due; None when none is owed."""

    async def deliver(self, chat: ChatAdapter, message: MessageT) -> str:
        """Deliver a message and return its id on the platform. Raise ChatUnreachable or ChatBusy."""

    async def finish(self, message: MessageT, message_id: str | None) -> None:
        """Note that the platform has taken a message, and its id there; None if it never will take it."""

    async def reschedule(self, message: MessageT, at: datetime) -> None:
        """Note that a delivery failed and is due again at a time."""


class OutboxWorker(Generic[MessageT]):
    """Deliver the messages of an outbox on every platform that is switched on.

    Platforms do not wait for each other, so one that hangs holds up nothing but its own messages. Messages of
    a platform that is switched off stay in the database until it is on again.

    Without `send_interval_s`, chats of one platform are served side by side, and each in order: when a
    message fails, later ones of its chat wait. With it, messages of one platform go out one at a time, that
    many seconds apart, and a busy platform is left alone for as long as it asks.
    """

    def __init__(
        self,
        outbox: Outbox[MessageT],
        chats: Mapping[Platform, ChatAdapter],
        clock: Callable[[], datetime],
        send_interval_s: float | None = None,
        shutdown_grace_s: float = SHUTDOWN_GRACE_S,
    ) -> None:
        self._outbox: Outbox[MessageT] = outbox
        self._chats = chats
        self._clock = clock
        self._send_interval_s = send_interval_s
        self._shutdown_grace_s = shutdown_grace_s
        self._wake_events: defaultdict[Platform, asyncio.Event] = defaultdict(asyncio.Event)

    def wake(self) -> None:
        """Note that a message may be due."""
        for platform in self._chats:
            self._wake_events[platform].set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for platform in self._chats:
                tasks.create_task(self._run_platform(platform), name=f"{self._outbox.name}-{platform}")
            await asyncio.Event().wait()  # also without any platform

    async def deliver_due(self) -> None:
        """Deliver what is due now, on all platforms side by side."""
        await asyncio.gather(*(self._deliver_platform(platform) for platform in self._chats))

    async def _run_platform(self, platform: Platform) -> None:
        wake_event = self._wake_events[platform]
        while True:
            wake_event.clear()
            pause_s = await self._deliver_platform(platform)
            due_at = await self._outbox.next_due_at(platform)
            if due_at is None:
                await wake_event.wait()
            else:
                delay_s = (due_at - self._clock()).total_seconds()
                await wait_for_event(wake_event, max(pause_s, delay_s))

    async def _deliver_platform(self, platform: Platform) -> float:
        """Deliver what is due on a platform. Return for how many seconds it asks to be left alone."""
        chat = self._chats[platform]
        if self._send_interval_s is None:
            messages_by_address: defaultdict[ChatAddress, list[MessageT]] = defaultdict(list)
            for message in await self._outbox.list_due(platform):
                messages_by_address[message.address].append(message)
            await asyncio.gather(*(self._deliver_chat(chat, each) for each in messages_by_address.values()))
            return 0.0
        while messages := await self._outbox.list_due(platform):
            for message in messages:
                error = await self._deliver(chat, message)
                if isinstance(error, ChatBusy):
                    return error.retry_after_s
                await asyncio.sleep(self._send_interval_s)
        return 0.0

    async def _deliver_chat(self, chat: ChatAdapter, messages: Sequence[MessageT]) -> None:
        for message in messages:
            if await self._deliver(chat, message) is not None:
                return

    async def _deliver(self, chat: ChatAdapter, message: MessageT) -> Exception | None:
        """Deliver one message and note what became of it. Return the error if it is tried again.

        A stop of the bot waits for it: it would be sent a second time if it was not noted as sent.
        """
        with log_context(**message.log_ids):
            return await run_to_completion(self._attempt(chat, message), self._shutdown_grace_s)

    async def _attempt(self, chat: ChatAdapter, message: MessageT) -> Exception | None:
        outbox = self._outbox
        try:
            message_id = await outbox.deliver(chat, message)
        except ChatUnreachable as error:
            log.info("%s %d cannot be delivered: %s", outbox.name, message.id, error)
            await outbox.finish(message, None)
            return None
        except ChatBusy as busy:
            # A busy platform is common; one that stays busy is something for whoever runs the bot.
            level = logging.WARNING if message.tries >= WARN_AFTER_ATTEMPTS else logging.INFO
            log.log(level, "%s %d waits after try %d: %s", outbox.name, message.id, message.tries + 1, busy)
            await self._reschedule(message, max(busy.retry_after_s, backoff_s(message.tries)))
            return busy
        except Exception as error:
            log.exception("%s %d failed and will be tried again", outbox.name, message.id)
            await self._reschedule(message, backoff_s(message.tries))
            return error
        await outbox.finish(message, message_id)
        return None

    async def _reschedule(self, message: MessageT, delay_s: float) -> None:
        await self._outbox.reschedule(message, self._clock() + timedelta(seconds=delay_s))
