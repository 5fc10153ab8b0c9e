"""Sends and edits messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from telegram import ForceReply, InputMediaPhoto, MessageEntity, ReplyParameters
from telegram.constants import MediaGroupLimit
from telegram.error import BadRequest, ChatMigrated
from telegram.ext import ExtBot

from bot.chats.telegram.addresses import TelegramChatId, add_mention, parse_message_id
from bot.chats.telegram.errors import retry_when_busy, translate_errors
from bot.chats.telegram.formatting import (
    MAX_CAPTION_CHARS,
    TelegramPhoto,
    blank_photo,
    build_keyboard,
    clip_text,
    load_photo,
    utf16_length,
)
from bot.chats.telegram.limits import Priority
from bot.core.errors import ChatError, ChatUnreachable
from bot.core.messages import Attachment, PictureSource, Reply
from bot.core.retry import Sleep

log = logging.getLogger(__name__)

_MAX_ALBUM_SIZE = int(MediaGroupLimit.MAX_MEDIA_LENGTH)


class TelegramSender:
    """Shows replies as messages; every method raises ChatUnreachable, PicturesRefused or ChatBusy.

    A message has at most one picture. Of several the first carries text and buttons, the others follow as an
    album that answers it, and files as documents. The ids of all that have pictures are its id: `12,13,14`;
    in a group that has become another chat, which a supergroup is, after that chat's: `-1005:12,13,14`.
    `rank` says who goes first when there is much to send.
    """

    def __init__(
        self, bot: ExtBot[Priority], priority: Priority = Priority.ANSWER, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._bot = bot
        self._priority = priority
        self._sleep = sleep

    async def send(
        self,
        chat: TelegramChatId,
        reply: Reply,
        reply_to: int | None = None,
        mention_user_id: int | None = None,
    ) -> str:
        """Send a message, `reply_to` another one, and give its id; in a group it mentions somebody."""
        photos = await _load_photos(reply.pictures)
        mentions: tuple[MessageEntity, ...] = ()
        if mention_user_id is not None:
            reply, mention = await add_mention(self._bot, chat.chat_id, mention_user_id, reply)
            mentions = (mention,)
        chat_prefix = ""
        with translate_errors():
            try:
                message_id, other_photos = await self._send_first(chat, reply, photos, reply_to, mentions)
            except ChatMigrated as error:
                chat, chat_prefix = TelegramChatId(error.new_chat_id), f"{error.new_chat_id}:"
                message_id, other_photos = await self._send_first(chat, reply, photos, None, mentions)
            except BadRequest as refusal:
                if chat.thread_id is None or "thread not found" not in refusal.message.lower():
                    raise
                chat = TelegramChatId(chat.chat_id)
                message_id, other_photos = await self._send_first(chat, reply, photos, reply_to, mentions)
        ids = [message_id]
        for call in self._remaining_sends(chat, message_id, other_photos, reply):
            try:
                ids += await retry_when_busy(
                    call, self._sleep
                )  # to raise would have the first message sent again
            except ChatError as error:
                _log_skipped_part(message_id, error)
        return chat_prefix + ",".join(map(str, ids))

    async def ask_for_reply(self, chat: TelegramChatId, text: str, user_id: int, reply_to: int | None) -> str:
        """Send a message that somebody in a group is to reply to: their app begins the reply by itself."""
        reply, mention = await add_mention(self._bot, chat.chat_id, user_id, Reply(text))
        with translate_errors():
            message = await self._bot.send_message(
                chat.chat_id,
                clip_text(reply.text),
                entities=[mention],
                message_thread_id=chat.thread_id,
                reply_markup=ForceReply(selective=True),
                reply_parameters=None if reply_to is None else _reply_parameters(reply_to),
                disable_notification=True,
                rate_limit_args=self._priority,
            )
        return str(message.message_id)

    async def edit(self, chat: TelegramChatId, message_id: str, reply: Reply) -> str:
        """Make a message read like `reply`, quiet when it already does; gives the id it has then."""
        photos = await _load_photos(reply.pictures)
        chat, (first_id, *other_ids) = parse_message_id(chat, message_id)
        with translate_errors():
            while (
                other_ids and reply.card_job_id is None
            ):  # first: these may be there when the other one is gone
                await self._delete_message(chat.chat_id, other_ids.pop())
            await self._edit_first(chat.chat_id, first_id, reply, photos)
        for call in self._remaining_sends(chat, first_id, photos[1:], reply):
            try:
                other_ids += await call()
            except ChatUnreachable as error:
                _log_skipped_part(first_id, error)
        chat_prefix = message_id[: message_id.rfind(":") + 1]
        return chat_prefix + ",".join(map(str, [first_id, *other_ids]))

    async def delete(self, chat: TelegramChatId, message_id: str) -> None:
        """Delete a message with all its pictures."""
        chat, ids = parse_message_id(chat, message_id)
        with translate_errors():
            for each in ids:
                await self._bot.delete_message(chat.chat_id, each, rate_limit_args=self._priority)

    async def _send_first(
        self,
        chat: TelegramChatId,
        reply: Reply,
        photos: Sequence[TelegramPhoto],
        reply_to: int | None,
        mentions: Sequence[MessageEntity],
    ) -> tuple[int, Sequence[TelegramPhoto]]:
        reply_markup = build_keyboard(reply.buttons)
        reply_parameters = None if reply_to is None else _reply_parameters(reply_to)
        if photos and utf16_length(reply.text) <= MAX_CAPTION_CHARS:
            first_photo, *other_photos = photos
            message = await self._bot.send_photo(
                chat.chat_id,
                first_photo.data,
                message_thread_id=chat.thread_id,
                caption=first_photo.build_caption(reply.text),
                caption_entities=mentions or None,
                has_spoiler=reply.is_spoiler or None,
                reply_markup=reply_markup,
                reply_parameters=reply_parameters,
                disable_notification=reply.is_silent,
                rate_limit_args=self._priority,
            )
            return int(message.message_id), other_photos
        text = clip_text(reply.text)
        message = await self._bot.send_message(
            chat.chat_id,
            text,
            entities=mentions or None,
            message_thread_id=chat.thread_id,
            reply_markup=reply_markup,
            reply_parameters=reply_parameters,
            disable_notification=reply.is_silent,
            rate_limit_args=self._priority,
        )
        return int(message.message_id), photos

    async def _edit_first(
        self, chat_id: int, message_id: int, reply: Reply, photos: Sequence[TelegramPhoto]
    ) -> None:
        if photos:
            await self._replace_photo(chat_id, message_id, reply, photos[0])
            return
        bot, priority, reply_markup = self._bot, self._priority, build_keyboard(reply.buttons)
        try:
            text = clip_text(reply.text)
            edit_call = bot.edit_message_text(
                text, chat_id, message_id, reply_markup=reply_markup, rate_limit_args=priority
            )
            await _ignore_unmodified(edit_call)
        except BadRequest as refusal:
            if "no text in the message" not in refusal.message.lower():
                raise
            # A message keeps its kind: the picture goes, a blank one comes.
            if reply.card_job_id is None and not reply.keeps_pictures:
                await self._replace_photo(chat_id, message_id, reply, blank_photo())
                return
            caption = clip_text(reply.text, MAX_CAPTION_CHARS)
            await _ignore_unmodified(
                bot.edit_message_caption(
                    chat_id, message_id, caption=caption, reply_markup=reply_markup, rate_limit_args=priority
                )
            )

    async def _replace_photo(self, chat_id: int, message_id: int, reply: Reply, photo: TelegramPhoto) -> None:
        caption = photo.build_caption(reply.text)
        media = InputMediaPhoto(photo.data, caption=caption, has_spoiler=reply.is_spoiler or None)
        reply_markup = build_keyboard(reply.buttons)
        await _ignore_unmodified(
            self._bot.edit_message_media(
                media, chat_id, message_id, reply_markup=reply_markup, rate_limit_args=self._priority
            )
        )

    async def _delete_message(self, chat_id: int, message_id: int) -> None:
        try:
            await self._bot.delete_message(chat_id, message_id, rate_limit_args=self._priority)
        except BadRequest:  # after two days a message cannot be deleted, but its picture still be covered
            try:
                await self._replace_photo(chat_id, message_id, Reply(""), blank_photo())
            except BadRequest as refusal:
                log.info("a further picture is gone already: %s", refusal.message)

    def _remaining_sends(
        self, chat: TelegramChatId, message_id: int, photos: Sequence[TelegramPhoto], reply: Reply
    ) -> Iterator[Callable[[], Awaitable[list[int]]]]:
        for start in range(0, len(photos), _MAX_ALBUM_SIZE):
            album = photos[start : start + _MAX_ALBUM_SIZE]
            yield partial(self._send_album, chat, message_id, album, reply)
        for file in reply.files:
            yield partial(self._send_document, chat, message_id, file, reply.is_silent)

    async def _send_album(
        self, chat: TelegramChatId, reply_to: int, photos: Sequence[TelegramPhoto], reply: Reply
    ) -> list[int]:
        reply_parameters, is_spoiler = _reply_parameters(reply_to), reply.is_spoiler or None
        with translate_errors():
            if len(photos) == 1:  # an album has two at least
                (photo,) = photos
                caption = photo.build_caption("") or None
                message = await self._bot.send_photo(
                    chat.chat_id,
                    photo.data,
                    message_thread_id=chat.thread_id,
                    caption=caption,
                    reply_parameters=reply_parameters,
                    has_spoiler=is_spoiler,
                    disable_notification=reply.is_silent,
                    rate_limit_args=self._priority,
                )
                return [int(message.message_id)]
            note = next((each.note for each in photos if each.note), None)
            media = [InputMediaPhoto(each.data, has_spoiler=is_spoiler) for each in photos]
            messages = await self._bot.send_media_group(
                chat.chat_id,
                media,
                message_thread_id=chat.thread_id,
                caption=note,
                reply_parameters=reply_parameters,
                disable_notification=reply.is_silent,
                rate_limit_args=self._priority,
            )
            return [int(each.message_id) for each in messages]

    async def _send_document(
        self, chat: TelegramChatId, reply_to: int, file: Attachment, is_silent: bool
    ) -> list[int]:
        data = await asyncio.to_thread(file.path.read_bytes)  # given a path, the library would read it here
        with translate_errors():
            await self._bot.send_document(
                chat.chat_id,
                data,
                message_thread_id=chat.thread_id,
                filename=file.name,
                reply_parameters=_reply_parameters(reply_to),
                disable_notification=is_silent,
                rate_limit_args=self._priority,
            )
        return []  # whoever takes a file keeps it


async def _load_photos(pictures: Sequence[PictureSource]) -> list[TelegramPhoto]:
    """Read all pictures of a message before any is shown: they may be deleted meanwhile."""
    return [await load_photo(each) for each in pictures]


def _log_skipped_part(message_id: int, error: ChatError) -> None:
    log.warning("a further part of message %d was left out: %s", message_id, error)


def _reply_parameters(message_id: int) -> ReplyParameters:
    return ReplyParameters(message_id, allow_sending_without_reply=True)


async def _ignore_unmodified(call: Awaitable[object]) -> None:
    """Edit a message; that it reads so already is as good."""
    try:
        await call
    except BadRequest as refusal:
        if "not modified" not in refusal.message.lower():
            raise
