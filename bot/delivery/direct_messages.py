"""Deliver direct messages: one after another on each platform, no faster than the platform allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bot.core.accounts import Platform
from bot.core.messages import ChatAdapter, Reply
from bot.core.outbox import DirectMessage
from bot.core.retry import SHUTDOWN_GRACE_S
from bot.db import Database
from bot.delivery.outbox import Outbox, OutboxWorker
from bot.delivery.preferences import apply_silence
from bot.texts import use_language
from bot.texts.sharing import access_granted, share_card

#: Telegram lets a bot write to 30 people a second in all; answers to people come first.
SEND_INTERVAL_S = 0.1


class DirectMessageOutbox(Outbox[DirectMessage]):
    """Messages that belong to no job."""

    name = "direct message"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_due(self, platform: Platform) -> Sequence[DirectMessage]:
        """Return the one message that is due next, with its share as it is now."""
        await self._database.sharing.forward_requests()
        message = await self._database.outbox.get_due_direct_message(platform)
        return () if message is None else (message,)

    async def next_due_at(self, platform: Platform) -> datetime | None:
        """Return when the next message is due."""
        return await self._database.outbox.next_direct_message_at(platform)

    async def deliver(self, chat: ChatAdapter, message: DirectMessage) -> str:
        """Send a message in the language of its recipient; an answer that was taken back is not sent."""
        with use_language(await self._database.accounts.get_language(message.recipient)):
            reply = _build_reply(message)
        if reply is None:
            return ""
        account = await self._database.accounts.find_by_identity(message.recipient)
        if account is not None:
            reply = await apply_silence(self._database, reply, account)
        return await chat.send(message.address, reply, nonce=f"letter-{message.id}")

    async def finish(self, message: DirectMessage, message_id: str | None) -> None:
        """Forget a message that was sent, or that nobody can receive."""
        await self._database.outbox.delete_direct_message(message)

    async def reschedule(self, message: DirectMessage, at: datetime) -> None:
        """Try a message again at a time."""
        await self._database.outbox.schedule_direct_message_retry(message, at)


class DirectMessageSender:
    """Sends direct messages, `send_interval_s` apart on one platform."""

    def __init__(
        self,
        database: Database,
        chats: Mapping[Platform, ChatAdapter],
        clock: Callable[[], datetime],
        send_interval_s: float = SEND_INTERVAL_S,
        shutdown_grace_s: float = SHUTDOWN_GRACE_S,
    ) -> None:
        self._database = database
        self._worker = OutboxWorker(
            DirectMessageOutbox(database), chats, clock, send_interval_s, shutdown_grace_s
        )

    def wake(self) -> None:
        """Note that a direct message is owed."""
        self._worker.wake()

    async def run(self) -> None:
        """Finish broadcasts that an earlier run began, then deliver until cancelled."""
        await self._database.outbox.resume_broadcasts()
        await self._worker.run()

    async def deliver_due(self) -> None:
        """Deliver what is due now."""
        await self._worker.deliver_due()


def _build_reply(message: DirectMessage) -> Reply | None:
    """Return what a message says; None when the owner of the LoRA has taken back their permission since."""
    share = message.share
    if share is None:
        return Reply(message.text)
    if message.recipient == share.address.identity:
        return Reply(access_granted(share)) if share.is_granted else None
    return share_card(share)
