"""Names the person whom a message in a group is for, so that it is their phone that rings."""

from __future__ import annotations

import logging
from dataclasses import replace

from telegram import Bot, MessageEntity, User
from telegram.error import TelegramError

from bot.chats.telegram.formatting import utf16_length
from bot.core.loras import MAX_NAME_CHARS
from bot.core.messages import Reply
from bot.services.generation_options import clean_text
from bot.texts import translate

log = logging.getLogger(__name__)


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
