"""Sends and edits messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from telegram import InputMediaPhoto, MessageEntity, ReplyParameters
from telegram.constants import MediaGroupLimit
from telegram.error import BadRequest, ChatMigrated
from telegram.ext import ExtBot

from bot import texts
from bot.chats.telegram.errors import patiently, translated
from bot.chats.telegram.formatting import MAX_CAPTION, Photo, blank, clipped, keyboard, length, photo
from bot.chats.telegram.limits import Rank
from bot.chats.telegram.registration import named
from bot.core.accounts import Place
from bot.core.errors import ChatError, ChatUnreachable
from bot.core.messages import Attachment, Picture, Reply

log = logging.getLogger(__name__)

_ALBUM = int(MediaGroupLimit.MAX_MEDIA_LENGTH)


@dataclass(frozen=True, slots=True)
class Room:
    """Where a message stands: a chat, and its topic if the chat is a group that has some."""

    chat_id: int
    topic_id: int | None = None

    def __str__(self) -> str:
        return str(self.chat_id) if self.topic_id is None else f"{self.chat_id}:{self.topic_id}"


def room_of(place: Place) -> Room:
    """Read where a place is."""
    chat_id, _, topic_id = place.chat_id.partition(":")
    return Room(int(chat_id), int(topic_id) if topic_id else None)


class Post:
    """Shows replies as messages; every method raises ChatUnreachable or ChatBusy.

    A message has at most one picture. Of several the first carries text and buttons, the others follow as an
    album that answers it, and files as documents. The ids of all that have pictures are its id: `12,13,14`;
    in a group that has become another chat, which a supergroup is, after that chat's: `-1005:12,13,14`.
    `rank` says who goes first when there is much to send.
    """

    def __init__(self, bot: ExtBot[Rank], rank: Rank = Rank.ANSWER) -> None:
        self._bot = bot
        self._rank = rank

    async def send(
        self, room: Room, reply: Reply, answer_to: int | None = None, rings: int | None = None
    ) -> str:
        """Send a message, `answer_to` another one, and give its id; in a group it `rings` somebody."""
        photos = await _read(reply.pictures)
        mentions: tuple[MessageEntity, ...] = ()
        if rings is not None:
            reply, mention = await named(self._bot, room.chat_id, rings, reply)
            mentions = (mention,)
        moved = ""
        with translated():
            try:
                message_id, others = await self._first(room, reply, photos, answer_to, mentions)
            except ChatMigrated as error:
                room, moved = Room(error.new_chat_id), f"{error.new_chat_id}:"
                message_id, others = await self._first(room, reply, photos, None, mentions)
            except BadRequest as refusal:
                if room.topic_id is None or "thread not found" not in refusal.message.lower():
                    raise
                room = Room(room.chat_id)
                message_id, others = await self._first(room, reply, photos, answer_to, mentions)
        ids = [message_id]
        for call in self._further(room, message_id, others, reply):
            try:
                ids += await patiently(call)  # to raise would have the first message sent again
            except ChatError as error:
                _left_out(message_id, error)
        return moved + ",".join(map(str, ids))

    async def edit(self, room: Room, message_id: str, reply: Reply) -> str:
        """Make a message read like `reply`, quiet when it already does; gives the id it has then."""
        photos = await _read(reply.pictures)
        moved, colon, ids = message_id.rpartition(":")
        room = Room(int(moved)) if moved else room
        first, *further = map(int, ids.split(","))
        with translated():
            while further and reply.card_of is None:  # first: these may be there when the other one is gone
                await self._take_away(room.chat_id, further.pop())
            await self._edit_first(room.chat_id, first, reply, photos)
        for call in self._further(room, first, photos[1:], reply):
            try:
                further += await call()
            except ChatUnreachable as error:
                _left_out(first, error)
        return moved + colon + ",".join(map(str, [first, *further]))

    async def _first(
        self,
        room: Room,
        reply: Reply,
        photos: Sequence[Photo],
        answer_to: int | None,
        mentions: Sequence[MessageEntity],
    ) -> tuple[int, Sequence[Photo]]:
        try:
            return await self._as_it_is(room, reply, photos, answer_to, mentions)
        except BadRequest as refusal:
            if not photos or not _is_no_right(refusal):
                raise
            return await self._as_it_is(room, texts.not_allowed_here(reply), (), answer_to, mentions)

    async def _as_it_is(
        self,
        room: Room,
        reply: Reply,
        photos: Sequence[Photo],
        answer_to: int | None,
        mentions: Sequence[MessageEntity],
    ) -> tuple[int, Sequence[Photo]]:
        keys = keyboard(reply.buttons)
        quote = None if answer_to is None else _answering(answer_to)
        if photos and length(reply.text) <= MAX_CAPTION:
            picture, *others = photos
            sent = await self._bot.send_photo(
                room.chat_id,
                picture.data,
                message_thread_id=room.topic_id,
                caption=picture.caption(reply.text),
                caption_entities=mentions or None,
                has_spoiler=reply.is_spoiler or None,
                reply_markup=keys,
                reply_parameters=quote,
                disable_notification=reply.is_silent,
                rate_limit_args=self._rank,
            )
            return int(sent.message_id), others
        text = clipped(reply.text)
        sent = await self._bot.send_message(
            room.chat_id,
            text,
            entities=mentions or None,
            message_thread_id=room.topic_id,
            reply_markup=keys,
            reply_parameters=quote,
            disable_notification=reply.is_silent,
            rate_limit_args=self._rank,
        )
        return int(sent.message_id), photos

    async def _edit_first(self, chat_id: int, message_id: int, reply: Reply, photos: Sequence[Photo]) -> None:
        if photos:
            try:
                await self._put_photo(chat_id, message_id, reply, photos[0])
            except BadRequest as refusal:
                if not _is_no_right(refusal):
                    raise
                await self._edit_first(chat_id, message_id, texts.not_allowed_here(reply), ())
            return
        bot, rank, keys = self._bot, self._rank, keyboard(reply.buttons)
        try:
            text = clipped(reply.text)
            call = bot.edit_message_text(text, chat_id, message_id, reply_markup=keys, rate_limit_args=rank)
            await _changed(call)
        except BadRequest as refusal:
            if "no text in the message" not in refusal.message.lower():
                raise
            # A message keeps its kind: the picture goes, a blank one comes.
            if reply.card_of is None and not reply.keeps_pictures:
                await self._put_photo(chat_id, message_id, reply, blank())
                return
            caption = clipped(reply.text, MAX_CAPTION)
            await _changed(
                bot.edit_message_caption(
                    chat_id, message_id, caption=caption, reply_markup=keys, rate_limit_args=rank
                )
            )

    async def _put_photo(self, chat_id: int, message_id: int, reply: Reply, picture: Photo) -> None:
        caption = picture.caption(reply.text)
        media = InputMediaPhoto(picture.data, caption=caption, has_spoiler=reply.is_spoiler or None)
        keys = keyboard(reply.buttons)
        await _changed(
            self._bot.edit_message_media(
                media, chat_id, message_id, reply_markup=keys, rate_limit_args=self._rank
            )
        )

    async def _take_away(self, chat_id: int, message_id: int) -> None:
        try:
            await self._bot.delete_message(chat_id, message_id, rate_limit_args=self._rank)
        except BadRequest:  # after two days a message cannot be deleted, but its picture still be covered
            try:
                await self._put_photo(chat_id, message_id, Reply(""), blank())
            except BadRequest as refusal:
                log.info("a further picture is gone already: %s", refusal.message)

    def _further(
        self, room: Room, message_id: int, photos: Sequence[Photo], reply: Reply
    ) -> Iterator[Callable[[], Awaitable[list[int]]]]:
        for at in range(0, len(photos), _ALBUM):
            album = photos[at : at + _ALBUM]
            yield partial(self._send_album, room, message_id, album, reply)
        for file in reply.files:
            yield partial(self._send_file, room, message_id, file, reply.is_silent)

    async def _send_album(
        self, room: Room, answer_to: int, photos: Sequence[Photo], reply: Reply
    ) -> list[int]:
        quote, is_spoiler = _answering(answer_to), reply.is_spoiler or None
        with translated():
            if len(photos) == 1:  # an album has two at least
                (only,) = photos
                caption = only.caption("") or None
                alone = await self._bot.send_photo(
                    room.chat_id,
                    only.data,
                    message_thread_id=room.topic_id,
                    caption=caption,
                    reply_parameters=quote,
                    has_spoiler=is_spoiler,
                    disable_notification=reply.is_silent,
                    rate_limit_args=self._rank,
                )
                return [int(alone.message_id)]
            remark = next((each.remark for each in photos if each.remark), None)
            album = [InputMediaPhoto(each.data, has_spoiler=is_spoiler) for each in photos]
            sent = await self._bot.send_media_group(
                room.chat_id,
                album,
                message_thread_id=room.topic_id,
                caption=remark,
                reply_parameters=quote,
                disable_notification=reply.is_silent,
                rate_limit_args=self._rank,
            )
            return [int(each.message_id) for each in sent]

    async def _send_file(self, room: Room, answer_to: int, file: Attachment, is_silent: bool) -> list[int]:
        data = await asyncio.to_thread(file.path.read_bytes)  # given a path, the library would read it here
        with translated():
            await self._bot.send_document(
                room.chat_id,
                data,
                message_thread_id=room.topic_id,
                filename=file.name,
                reply_parameters=_answering(answer_to),
                disable_notification=is_silent,
                rate_limit_args=self._rank,
            )
        return []  # whoever takes a file keeps it


async def _read(pictures: Sequence[Picture]) -> list[Photo]:
    """Read all pictures of a message before any is shown: they may be deleted meanwhile."""
    return [await photo(each) for each in pictures]


def _left_out(message_id: int, error: ChatError) -> None:
    log.warning("a further part of message %d was left out: %s", message_id, error)


def _is_no_right(refusal: BadRequest) -> bool:
    """Say whether a group's rules are why a picture was refused: administrators may forbid media alone."""
    return "not enough rights to send" in refusal.message.lower()


def _answering(message_id: int) -> ReplyParameters:
    return ReplyParameters(message_id, allow_sending_without_reply=True)


async def _changed(call: Awaitable[object]) -> None:
    """Edit a message; that it reads so already is as good."""
    try:
        await call
    except BadRequest as refusal:
        if "not modified" not in refusal.message.lower():
            raise
