"""Which message shows a photo set: one for each person, below what they sent last, on every platform."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol
from weakref import WeakValueDictionary

from bot.core.accounts import ChatAddress, Identity
from bot.core.errors import ChatError
from bot.core.messages import Reply
from bot.services import Services
from bot.texts import translate

log = logging.getLogger(__name__)


class ChatMessages(Protocol):
    """The messages of the bot in one chat. Each method raises ChatError where the platform refuses."""

    async def send(self, reply: Reply) -> str:
        """Send a message and return its id."""

    async def edit(self, message_id: str, reply: Reply) -> None:
        """Make a message read like `reply`."""

    async def delete(self, message_id: str) -> None:
        """Delete a message."""


class PhotoSetPresenter:
    """Shows photo sets; the database stores which message shows one."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # One set is shown by one message, also when two albums come at once.
        self._locks: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self._newest_replies: dict[Identity, Reply] = {}  # that are to be shown

    async def show(
        self, identity: Identity, address: ChatAddress, reply: Reply, messages: ChatMessages
    ) -> None:
        """Show a set in a new message and take its earlier one away. Raise ChatError if it cannot be sent."""
        self._newest_replies[identity] = reply
        lock = self._locks.setdefault(identity, asyncio.Lock())
        async with lock:
            if self._newest_replies.get(identity) is not reply:
                return  # more photos came meanwhile, and the set is shown with them
            del self._newest_replies[identity]
            card = await self._services.photo_sets.cards.read(identity, address)
            if card.ended_text is not None:
                return  # others of its photos were quicker, and so was the answer to them
            message_id = await messages.send(reply)
            is_collecting = await self._services.photo_sets.cards.record(identity, message_id)
            if card.message_id is not None:
                await self._take_away(card.message_id, messages)
            if not is_collecting:
                await self.close_if_ended(identity, address, message_id, messages)

    async def close_if_ended(
        self, identity: Identity, address: ChatAddress, message_id: str, messages: ChatMessages
    ) -> None:
        """Edit a message that shows a set which ended while it was on its way."""
        card = await self._services.photo_sets.cards.read(identity, address)
        if card.ended_text is not None:
            await _try_edit(message_id, Reply(card.ended_text), messages)

    async def close_previous(self, reply: Reply, messages: ChatMessages) -> None:
        """Edit the message of the set that a reply ends."""
        if reply.closed_photo_set is not None:
            closed_reply = Reply(reply.closed_photo_set.text)
            await _try_edit(reply.closed_photo_set.message_id, closed_reply, messages)

    async def _take_away(self, message_id: str, messages: ChatMessages) -> None:
        try:
            await messages.delete(message_id)
        except ChatError as error:  # such as one that is older than two days
            log.info("the message of a set could not be deleted: %s", error)
            await _try_edit(message_id, Reply(translate("set-below")), messages)


async def _try_edit(message_id: str, reply: Reply, messages: ChatMessages) -> None:
    try:
        await messages.edit(message_id, reply)
    except ChatError as error:
        log.info("the message of a set could not be edited: %s", error)
