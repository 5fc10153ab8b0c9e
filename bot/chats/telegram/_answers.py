"""Answers what people say and press, where they did."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from telegram import Chat, MaybeInaccessibleMessage, Message, User

from bot.chats.telegram._errors import patiently
from bot.chats.telegram._post import Post
from bot.domain import Identity, JobId, Place, Platform
from bot.errors import ChatError, ChatUnreachable
from bot.replies import Reply

log = logging.getLogger(__name__)

SENT_TO_YOU_ALONE = "I have sent it to you alone, in our private chat."
OPEN_A_PRIVATE_CHAT = "That is for you alone: open a private chat with me, press Start, and ask there again."


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a person spoke or pressed: a message in a chat."""

    who: Identity
    chat_id: int
    message_id: int
    is_private: bool

    @property
    def place(self) -> Place:
        """Give the chat as the rest of the bot knows it."""
        return Place(Platform.TELEGRAM, str(self.chat_id), self.who.user_id)


def spot_of(message: MaybeInaccessibleMessage, user: User | None = None) -> Spot | None:
    """Say where a message stands and who wrote it, or who pressed a button of it: `user`."""
    if user is None and isinstance(message, Message):
        user = message.from_user
    if user is None:
        return None
    who = Identity(Platform.TELEGRAM, str(user.id))
    return Spot(who, int(message.chat.id), message.message_id, message.chat.type == Chat.PRIVATE)


def is_nameless(message: Message) -> bool:
    """Tell whether its author writes as an account that many share: anonymous administrators, channels."""
    return message.sender_chat is not None or (message.from_user is not None and message.from_user.is_bot)


class Answers:
    """Shows the replies of use cases. `card_shown` is told which message shows a job."""

    def __init__(self, post: Post, card_shown: Callable[[JobId, str], Awaitable[None]]) -> None:
        self._post = post
        self._card_shown = card_shown

    async def give(self, spot: Spot, reply: Reply) -> None:
        """Show a reply as a message of its own; what cannot be shown is logged."""
        try:
            if reply.files and not spot.is_private:
                await self._hand_over(spot, reply)
            else:
                await self._show(spot, reply)
        except ChatError as error:
            log.warning("an answer could not be given: %s", error)

    async def replace(self, spot: Spot, reply: Reply) -> bool:
        """Make the message at a spot read like `reply`; False when it can no longer be."""
        try:
            await patiently(lambda: self._post.edit(spot.chat_id, spot.message_id, reply))
        except ChatError as error:
            log.info("the message of a button could not be edited: %s", error)
            return False
        return True

    async def _show(self, spot: Spot, reply: Reply) -> None:
        answer_to = None if spot.is_private else spot.message_id
        message_id = await patiently(lambda: self._post.send(spot.chat_id, reply, answer_to))
        if reply.card_of is not None:
            await self._card_shown(reply.card_of, str(message_id))

    async def _hand_over(self, spot: Spot, reply: Reply) -> None:
        # A file of a group is everybody's. The private chat with a person has the number of the person.
        try:
            await patiently(lambda: self._post.send(int(spot.who.user_id), reply))
        except ChatUnreachable:
            await self._show(spot, Reply(OPEN_A_PRIVATE_CHAT))
        else:
            await self._show(spot, Reply(SENT_TO_YOU_ALONE))
