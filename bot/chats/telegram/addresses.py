"""Where a message stands, and whom one in a group is for, so that it is their phone that rings."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from telegram import Bot, MessageEntity, User
from telegram.error import TelegramError

from bot.chats.telegram.formatting import utf16_length
from bot.core.accounts import ChatAddress
from bot.core.loras import MAX_NAME_CHARS
from bot.core.messages import Reply
from bot.services.generation_options import clean_text
from bot.texts import translate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TelegramChatId:
    """Where a message stands: a chat, and its topic if the chat is a group that has some."""

    chat_id: int
    thread_id: int | None = None

    def __str__(self) -> str:
        return str(self.chat_id) if self.thread_id is None else f"{self.chat_id}:{self.thread_id}"


def parse_chat_address(address: ChatAddress) -> TelegramChatId:
    """Read where a place is."""
    chat_id, _, thread_id = address.chat_id.partition(":")
    return TelegramChatId(int(chat_id), int(thread_id) if thread_id else None)


def parse_message_id(chat: TelegramChatId, message_id: str) -> tuple[TelegramChatId, list[int]]:
    """Return where a message stands, which may be another chat by now, and the ids of its parts."""
    new_chat_id, _, ids = message_id.rpartition(":")
    return TelegramChatId(int(new_chat_id)) if new_chat_id else chat, [int(each) for each in ids.split(",")]


async def add_mention(bot: Bot, chat_id: int, user_id: int, reply: Reply) -> tuple[Reply, MessageEntity]:
    """Begin a reply with the name of somebody in a group; gives with it what makes the name ring."""
    name = await _fetch_first_name(bot, chat_id, user_id) or translate("for-you")  # a word rings as well
    mention = MessageEntity(
        MessageEntity.TEXT_MENTION, 0, utf16_length(name), user=User(user_id, name, is_bot=False)
    )
    return replace(reply, text=f"{name}: {reply.text}"), mention


async def _fetch_first_name(bot: Bot, chat_id: int, user_id: int) -> str:
    """Ask what somebody is called: we keep no names. Telegram need not tell who administers nothing there."""
    try:
        member = await bot.get_chat_member(chat_id, user_id)
    except TelegramError as error:
        log.info("Telegram does not say what somebody in a group is called: %s", error.message)
        return ""
    return clean_text(member.user.first_name)[:MAX_NAME_CHARS].strip()
