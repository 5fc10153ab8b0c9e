"""Answers what people say and press, where they did."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from weakref import WeakValueDictionary

from telegram import Bot, Chat, MaybeInaccessibleMessage, Message, MessageEntity, User

from bot import texts
from bot.chats.telegram.errors import patiently
from bot.chats.telegram.sender import Post, Room
from bot.core.accounts import Identity, Place, Platform
from bot.core.errors import ChatError, ChatUnreachable
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a person spoke or pressed: a message in a chat."""

    who: Identity
    room: Room
    message_id: int
    is_private: bool

    @property
    def place(self) -> Place:
        """Give the chat as the rest of the bot knows it."""
        return Place(Platform.TELEGRAM, str(self.room), self.who.user_id)


def spot_of(message: MaybeInaccessibleMessage, user: User | None = None) -> Spot | None:
    """Say where a message stands and who wrote it, or who pressed a button of it: `user`."""
    if user is None and isinstance(message, Message):
        user = message.from_user
    if user is None:
        return None
    who = Identity(Platform.TELEGRAM, str(user.id), name=_name_of(user), locale=user.language_code or "")
    # Answers to messages have a thread too; a topic alone is a room of its own.
    topic_id = (
        message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    )
    room = Room(int(message.chat.id), topic_id)
    return Spot(who, room, message.message_id, message.chat.type == Chat.PRIVATE)


def _name_of(user: User) -> str:
    return f"{user.full_name} @{user.username}" if user.username else user.full_name


def is_nameless(message: Message) -> bool:
    """Tell whether its author writes as an account that many share: anonymous administrators, channels."""
    return message.sender_chat is not None or (message.from_user is not None and message.from_user.is_bot)


def answers_us(bot: Bot, message: Message) -> bool:
    """Tell whether a message answers one of ours; all in a topic answers the message that opened it."""
    ours = message.reply_to_message
    if ours is None or ours.from_user is None or ours.forum_topic_created is not None:
        return False
    return ours.from_user.id == bot.id


def is_for(bot: Bot, photo: Message) -> bool:
    """Tell whether a photo in a group is meant for us: an answer to us, or with our name beneath it."""
    named = photo.parse_caption_entities([MessageEntity.MENTION, MessageEntity.BOT_COMMAND]).values()
    return answers_us(bot, photo) or any(each.lower().endswith(bot.name.lower()) for each in named)


class Answers:
    """Shows the replies of use cases; the Studio is told which message shows a job or a set of photos."""

    def __init__(self, post: Post, studio: Studio) -> None:
        self._post = post
        self._studio = studio
        # One set is shown by one message, also when two albums come at once.
        self._sets: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()

    async def give(self, spot: Spot, reply: Reply) -> None:
        """Show a reply as a message of its own; what cannot be shown is logged."""
        try:
            if reply.files and not spot.is_private:
                await self._hand_over(spot, reply)
            elif reply.shows_set:
                await self._show_set(spot, reply)
            else:
                await self._show(spot, reply)
        except ChatError as error:
            log.warning("an answer could not be given: %s", error)
        await self._end_set(spot, reply)

    async def replace(self, spot: Spot, reply: Reply) -> bool:
        """Make the message at a spot read like `reply`; False when it can no longer be."""
        try:
            await patiently(lambda: self._post.edit(spot.room, str(spot.message_id), reply))
        except ChatError as error:
            log.info("the message of a button could not be edited: %s", error)
            return False
        if reply.shows_set:
            await self._end_late(spot, str(spot.message_id))
        await self._end_set(spot, reply)
        return True

    async def _show_set(self, spot: Spot, reply: Reply) -> None:
        lock = self._sets.setdefault(spot.who, asyncio.Lock())
        async with lock:
            if await self._studio.set_ended(spot.who) is not None:
                return  # others of its photos were quicker, and so was the answer to them
            message_id = await self._studio.set_message(spot.who, spot.place)
            if message_id is None or not await self._edited(spot, message_id, reply):
                answer_to = None if spot.is_private else spot.message_id
                message_id = await patiently(lambda: self._post.send(spot.room, reply, answer_to))
                await self._studio.set_shown(spot.who, message_id)
            await self._end_late(spot, message_id)

    async def _end_late(self, spot: Spot, message_id: str) -> None:
        """Let a message show a set no longer whose end came while it was on its way."""
        ended = await self._studio.set_ended(spot.who)
        if ended is not None:
            await self._edited(spot, message_id, Reply(ended))

    async def _end_set(self, spot: Spot, reply: Reply) -> None:
        if reply.ends_set is not None:
            await self._edited(spot, reply.ends_set.message_id, Reply(reply.ends_set.text))

    async def _edited(self, spot: Spot, message_id: str, reply: Reply) -> bool:
        try:
            await patiently(lambda: self._post.edit(spot.room, message_id, reply))
        except ChatError as error:
            log.info("the message of a set could not be edited: %s", error)
            return False
        return True

    async def _show(self, spot: Spot, reply: Reply) -> None:
        answer_to = None if spot.is_private else spot.message_id
        message_id = await patiently(lambda: self._post.send(spot.room, reply, answer_to))
        if reply.card_of is not None:
            await self._studio.card_shown(reply.card_of, message_id)
        if reply.copy_of is not None:
            await self._studio.copy_shown(reply.copy_of, spot.place, message_id)

    async def _hand_over(self, spot: Spot, reply: Reply) -> None:
        # A file of a group is everybody's. The private chat with a person has the number of the person.
        try:
            await patiently(lambda: self._post.send(Room(int(spot.who.user_id)), reply))
        except ChatUnreachable:
            await self._show(spot, Reply(texts.OPEN_A_PRIVATE_CHAT))
        else:
            await self._show(spot, Reply(texts.SENT_TO_YOU_ALONE))
