"""Answers what people say and press, where they did."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from telegram import Bot, Chat, MaybeInaccessibleMessage, Message, MessageEntity, User

from bot.chats.presenter import PhotoSetPresenter
from bot.chats.telegram.addresses import TelegramChatId
from bot.chats.telegram.errors import retry_when_busy
from bot.chats.telegram.sender import TelegramSender
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import ChatError, ChatUnreachable, PicturesRefused
from bot.core.messages import Reply, split_refusals
from bot.core.retry import Sleep
from bot.services import Services
from bot.texts import translate
from bot.texts.results import remove_disallowed_pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MessageRef:
    """Where a person spoke or pressed: a message in a chat."""

    identity: Identity
    chat: TelegramChatId
    message_id: int
    is_private: bool

    @property
    def reply_to(self) -> int | None:
        """Return the message that an answer refers to: in a group others write between."""
        return None if self.is_private else self.message_id

    @property
    def address(self) -> ChatAddress:
        """Return the chat as the rest of the bot knows it."""
        return ChatAddress(Platform.TELEGRAM, str(self.chat), self.identity.user_id)


def to_message_ref(message: MaybeInaccessibleMessage, user: User | None = None) -> MessageRef | None:
    """Return where a message stands and who wrote it, or who pressed a button of it: `user`."""
    if user is None and isinstance(message, Message):
        user = message.from_user
    if user is None:
        return None
    identity = Identity(
        Platform.TELEGRAM, str(user.id), name=_display_name(user), locale=user.language_code or ""
    )
    # Answers to messages have a thread too; a topic alone is a room of its own.
    thread_id = (
        message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    )
    chat = TelegramChatId(int(message.chat.id), thread_id)
    return MessageRef(identity, chat, message.message_id, message.chat.type == Chat.PRIVATE)


def _display_name(user: User) -> str:
    return f"{user.full_name} @{user.username}" if user.username else user.full_name


def is_anonymous(message: Message) -> bool:
    """Return whether its author writes as an account that many share: anonymous administrators, channels."""
    return message.sender_chat is not None or (message.from_user is not None and message.from_user.is_bot)


def is_reply_to_bot(bot: Bot, message: Message) -> bool:
    """Return whether a message answers one of ours; all in a topic answers the message that opened it."""
    replied_message = message.reply_to_message
    if (
        replied_message is None
        or replied_message.from_user is None
        or replied_message.forum_topic_created is not None
    ):
        return False
    return replied_message.from_user.id == bot.id


def get_replied_id(message: Message) -> str:
    """Return the id of the bot's message that this one answers, or an empty text."""
    replied = message.reply_to_message
    is_from_bot = replied is not None and replied.from_user is not None and replied.from_user.is_bot
    return str(replied.message_id) if replied is not None and is_from_bot else ""


def is_addressed_to_bot(bot: Bot, message: Message) -> bool:
    """Return whether a photo in a group is meant for us: an answer to us, or with our name beneath it."""
    mentions = message.parse_caption_entities([MessageEntity.MENTION, MessageEntity.BOT_COMMAND]).values()
    return is_reply_to_bot(bot, message) or any(each.lower().endswith(bot.name.lower()) for each in mentions)


def read_caption(bot: Bot, messages: Sequence[Message]) -> str:
    """Return the words under photos, without our name; those of a forwarded message are somebody else's."""
    captions = [each.caption for each in messages if each.caption and each.forward_origin is None]
    return without_our_name(bot, captions[0]) if captions else ""


def without_our_name(bot: Bot, text: str) -> str:
    """Return what a person wrote without the name that it was addressed to."""
    return re.sub(rf"(?<!\S){re.escape(bot.name)}\b", "", text, flags=re.IGNORECASE)


class TelegramReplies:
    """Shows the replies of use cases; the database stores which message shows a job or a photo set."""

    def __init__(self, sender: TelegramSender, services: Services, sleep: Sleep = asyncio.sleep) -> None:
        self._sender = sender
        self._services = services
        self._sleep = sleep
        self._presenter = PhotoSetPresenter(services)

    async def show(self, ref: MessageRef, reply: Reply) -> None:
        """Show a reply as a message of its own; what cannot be shown is logged."""
        *refusals, reply = split_refusals(reply)
        try:
            for refusal in refusals:
                await self.send(ref.chat, refusal, ref.message_id)
            if reply.files and not ref.is_private:
                await self._send_privately(ref, reply)
            elif reply.shows_photo_set:
                await self._presenter.show(ref.identity, ref.address, reply, ReplyMessages(self, ref))
            else:
                await self._send_reply(ref, reply)
        except ChatError as error:
            log.warning("an answer could not be given: %s", error)
        await self._presenter.close_previous(reply, ReplyMessages(self, ref))

    async def replace_message(self, ref: MessageRef, reply: Reply) -> bool:
        """Make the message at a spot read like `reply`; False when it can no longer be."""
        try:
            await self.edit(ref.chat, str(ref.message_id), reply)
        except ChatError as error:
            log.info("the message of a button could not be edited: %s", error)
            return False
        messages = ReplyMessages(self, ref)
        if reply.shows_photo_set:
            await self._presenter.close_if_ended(ref.identity, ref.address, str(ref.message_id), messages)
        await self._presenter.close_previous(reply, messages)
        await self._ask_for_reply(ref, reply, str(ref.message_id))
        return True

    async def _send_reply(self, ref: MessageRef, reply: Reply) -> None:
        message_id = await self.send(ref.chat, reply, ref.reply_to)
        if reply.card_job_id is not None:
            await self._services.jobs.record_card(reply.card_job_id, message_id)
        if reply.result_job_id is not None:
            await self._services.results.record_copy(reply.result_job_id, ref.address, message_id)
        await self._ask_for_reply(ref, reply, message_id)

    async def _ask_for_reply(self, ref: MessageRef, reply: Reply, message_id: str) -> None:
        """Have a person in a group reply to a question that stands in a message: nothing else reaches us.

        A message has buttons or begins a reply, and not both, so this is one of its own.
        """
        if ref.is_private or not (reply.asks_for_words or reply.yes_action):
            return
        ids = [message_id]
        if reply.yes_action:  # its buttons are the usual answer
            await self._services.messages.record_question(ref.identity, ref.address, ids)
            return
        text, user_id = translate("reply-to-this"), int(ref.identity.user_id)
        try:
            ids.append(
                await retry_when_busy(
                    lambda: self._sender.ask_for_reply(ref.chat, text, user_id, ref.message_id), self._sleep
                )
            )
        except ChatError as error:
            log.warning("a reply could not be asked for: %s", error)
        await self._services.messages.record_question(ref.identity, ref.address, ids)

    async def send(self, chat: TelegramChatId, reply: Reply, reply_to: int | None = None) -> str:
        """Send a message, or its words alone where a group takes no pictures."""
        try:
            return await retry_when_busy(lambda: self._sender.send(chat, reply, reply_to), self._sleep)
        except PicturesRefused:
            text_reply = remove_disallowed_pictures(reply)
            return await retry_when_busy(lambda: self._sender.send(chat, text_reply, reply_to), self._sleep)

    async def edit(self, chat: TelegramChatId, message_id: str, reply: Reply) -> None:
        """Edit a message likewise."""
        try:
            await retry_when_busy(lambda: self._sender.edit(chat, message_id, reply), self._sleep)
        except PicturesRefused:
            text_reply = remove_disallowed_pictures(reply)
            await retry_when_busy(lambda: self._sender.edit(chat, message_id, text_reply), self._sleep)

    async def delete(self, chat: TelegramChatId, message_id: str) -> None:
        """Delete a message."""
        await retry_when_busy(lambda: self._sender.delete(chat, message_id), self._sleep)

    async def _send_privately(self, ref: MessageRef, reply: Reply) -> None:
        # A file of a group is everybody's. The private chat with a person has the number of the person.
        try:
            await self.send(TelegramChatId(int(ref.identity.user_id)), reply)
        except ChatUnreachable:
            await self._send_reply(ref, Reply(translate("open-a-private-chat")))
        else:
            await self._send_reply(ref, Reply(translate("sent-to-you-alone")))


@dataclass(frozen=True, slots=True)
class ReplyMessages:
    """The messages of the bot where a person spoke or pressed."""

    replies: TelegramReplies
    ref: MessageRef

    async def send(self, reply: Reply) -> str:
        """Send a message and return its id."""
        return await self.replies.send(self.ref.chat, reply, self.ref.reply_to)

    async def edit(self, message_id: str, reply: Reply) -> None:
        """Make a message read like `reply`."""
        await self.replies.edit(self.ref.chat, message_id, reply)

    async def delete(self, message_id: str) -> None:
        """Delete a message."""
        await self.replies.delete(self.ref.chat, message_id)
