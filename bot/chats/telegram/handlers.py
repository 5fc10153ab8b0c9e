"""What people write and send, and which use case it is for."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from telegram import Bot, Chat, Document, Message, PhotoSize, Update
from telegram.constants import FileSizeLimit
from telegram.ext import ContextTypes, MessageHandler, filters

from bot.chats.base import enter, handle
from bot.chats.messages import (
    NO_REPLY,
    RefusedMessages,
    answer_edit,
    handle_message,
    handle_photos,
    has_slash,
    parse_command,
)
from bot.chats.telegram.errors import retry_when_busy, translate_errors
from bot.chats.telegram.replies import (
    MessageRef,
    TelegramReplies,
    get_replied_id,
    is_addressed_to_bot,
    is_anonymous,
    is_reply_to_bot,
    read_caption,
    to_message_ref,
    without_our_name,
)
from bot.chats.telegram.updates import idempotency_key
from bot.core.errors import ChatUnreachable, UserError
from bot.core.messages import PhotoInput, Reply, Request, Upload, UseCase
from bot.core.retry import Sleep
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import translate, use_language
from bot.texts.photo_sets import file_too_big

log = logging.getLogger(__name__)

#: So many albums in groups are remembered as meant for us: photos of them may still come.
MAX_REMEMBERED_ALBUMS = 100

_Context: TypeAlias = ContextTypes.DEFAULT_TYPE
#: Waits for the next photo of an album.
AlbumPause: TypeAlias = Callable[[], Awaitable[None]]


class _AlbumFilter(filters.MessageFilter):
    """Messages of an album."""

    def filter(self, message: Message) -> bool:
        """Return whether a message is one of several."""
        return message.media_group_id is not None


_IN_ALBUM = _AlbumFilter()


@dataclass(eq=False, slots=True)
class _Album:
    """The photos that belong together; a single one is an album of its own."""

    messages: list[Message] = field(default_factory=list)
    photo_tasks: dict[int, asyncio.Task[PhotoInput | None]] = field(default_factory=dict)  #: by message
    handled: asyncio.Event = field(default_factory=asyncio.Event)


class MessageHandlers:
    """Takes messages. An album is whole when no further photo of it came during `album_pause`."""

    def __init__(
        self,
        services: Services,
        replies: TelegramReplies,
        is_replay: Callable[[int], bool],
        album_pause: AlbumPause,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._services = services
        self._replies = replies
        self._is_replay = is_replay
        self._album_pause = album_pause
        self._sleep = sleep
        self._refused = RefusedMessages()
        self._albums: dict[tuple[int, str], _Album] = {}  # each chat has numbers of its own
        self._addressed_albums: deque[tuple[int, str | None]] = deque(maxlen=MAX_REMEMBERED_ALBUMS)

    def handlers(self) -> list[MessageHandler[_Context, Any]]:
        """Return what listens, in the order in which it is asked."""
        new_message = filters.UpdateType.MESSAGE
        private = filters.ChatType.PRIVATE & new_message
        group = filters.ChatType.GROUPS & new_message
        photos = filters.PHOTO | filters.Document.ALL | (filters.VIDEO & _IN_ALBUM)
        edited = filters.UpdateType.EDITED_MESSAGE & (filters.TEXT | filters.CAPTION)
        return [
            MessageHandler((private | group) & photos, self._on_photo),
            MessageHandler((private | group) & filters.TEXT, self._on_text),
            MessageHandler(private & ~filters.StatusUpdate.ALL, self._on_other),
            MessageHandler(edited, self._on_edit),
        ]

    async def _on_photo(self, update: Update, context: _Context) -> None:
        message = update.effective_message
        if message is None:
            return
        if message.media_group_id is None:
            await self._handle_album(update, _Album([message]), context.bot)
            return
        album_key = message.chat.id, message.media_group_id
        album = self._albums.setdefault(album_key, _Album())
        album.messages.append(message)
        message_count = len(album.messages)
        ref = to_message_ref(message)
        if message.chat.type == Chat.PRIVATE and ref is not None:
            album.photo_tasks[message.message_id] = asyncio.create_task(self._prepare_photo(ref, message))
        await self._album_pause()
        if len(album.messages) > message_count:  # none of its messages is processed before it is
            await album.handled.wait()
            return
        self._albums.pop(album_key, None)
        try:
            await self._handle_album(update, album, context.bot)
        finally:
            album.handled.set()

    async def _prepare_photo(self, ref: MessageRef, message: Message) -> PhotoInput | None:
        """Fetch and decode a photo while others of its album may still come; None before consent."""
        async with enter(self._services, Request(ref.identity, ref.address)) as request:
            if await self._services.photo_sets.check_before_fetch(request) is not None:
                return None
            upload = await self._download_upload(message)
            return await self._services.photo_sets.predecode_photo(replace(request, uploads=(upload,)))

    async def _handle_album(self, update: Update, album: _Album, bot: Bot) -> None:
        messages = sorted(album.messages, key=lambda each: each.message_id)
        is_private = messages[0].chat.type == Chat.PRIVATE
        if not is_private and not self._is_addressed(album, bot):
            return  # what people show each other in a group is not even fetched

        async def get_photo(message: Message) -> PhotoInput:
            task = album.photo_tasks.get(message.message_id)
            return (task and await task) or await self._download_upload(message)

        async def get_uploads() -> Sequence[PhotoInput]:
            # What could not be opened early says so here, where its person is told.
            return await asyncio.gather(*(get_photo(each) for each in messages))

        async def answer_photos(request: Request) -> Reply:
            request = replace(request, text=read_caption(bot, messages))
            return await handle_photos(self._services, request, get_uploads)

        await self._answer(update, answer_photos, messages[-1])
        for task in album.photo_tasks.values():  # a command may not have wanted them
            task.cancel()
        await asyncio.gather(*album.photo_tasks.values(), return_exceptions=True)

    def _is_addressed(self, album: _Album, bot: Bot) -> bool:
        """Return whether an album in a group is for us: its first photo alone says so, others may be late."""
        album_key = album.messages[0].chat.id, album.messages[0].media_group_id
        if album_key not in self._addressed_albums:
            if not any(is_addressed_to_bot(bot, each) for each in album.messages):
                return False
            if album_key[1] is not None:
                self._addressed_albums.append(album_key)
        return True

    async def _on_text(self, update: Update, context: _Context) -> None:
        message = update.effective_message
        if message is None or not _is_meant_for_bot(context.bot, message):
            return  # what people say to each other in a group is theirs
        await self._answer(update, partial(self._answer_text, context.bot, message))

    async def _answer_text(self, bot: Bot, message: Message, request: Request) -> Reply:
        request = replace(request, text=without_our_name(bot, request.text))

        async def stay_silent(request: Request) -> Reply:
            return NO_REPLY

        is_private = message.chat.type == Chat.PRIVATE
        reply = await handle_message(self._services, request, None if is_private else stay_silent)
        self._refused.note(request.address, str(message.message_id), reply)
        return reply

    async def _on_edit(self, update: Update, context: _Context) -> None:
        """Carry out a message that was refused before it was edited; of another one, say that it stands."""
        message = update.effective_message
        ref = None if message is None else to_message_ref(message)
        if message is None or ref is None:
            return
        if message.text is not None and self._refused.take(ref.address, str(message.message_id)):
            await self._on_text(update, context)
        elif message.chat.type == Chat.PRIVATE:
            await self._answer(update, partial(answer_edit, self._services))

    async def _on_other(self, update: Update, context: _Context) -> None:
        message = update.effective_message

        async def answer_unknown(request: Request) -> Reply:
            return Reply(
                translate("cannot-use" if message is None else _refusal_key(message) or "cannot-use")
            )

        await self._answer(
            update, lambda request: handle(self._services, answer_unknown, request, AccessLevel.ANYBODY)
        )

    async def _answer(self, update: Update, use_case: UseCase, message: Message | None = None) -> None:
        """Carry out what a message asks for and show the reply."""
        message = message or update.effective_message
        ref = to_message_ref(message) if message is not None else None
        if message is None or ref is None:
            return
        if is_anonymous(message):

            async def ask_who(request: Request) -> Reply:
                return Reply(translate("who-are-you"))

            reply = await handle(
                self._services, ask_who, self._to_request(update, ref, message), AccessLevel.ANYBODY
            )
        else:
            reply = await use_case(self._to_request(update, ref, message))
        if reply != NO_REPLY:
            with use_language(reply.language):
                await self._replies.show(ref, reply)

    def _to_request(self, update: Update, ref: MessageRef, message: Message) -> Request:
        replied_message_id = get_replied_id(message)
        return Request(
            ref.identity,
            ref.address,
            text=message.text or "",
            replied_message_id=replied_message_id,
            answered_message_id=None if ref.is_private else replied_message_id,
            idempotency_key=idempotency_key(update),
            is_replay=self._is_replay(update.update_id),
        )

    async def _download_upload(self, message: Message) -> Upload | UserError:
        """Fetch a photo's bytes at once: the link to them is good for an hour only."""
        if (key := _refusal_key(message)) is not None:
            return UserError(translate(key))
        media = message.document or message.photo[-1]
        name = getattr(media, "file_name", None) or "photo"
        if (media.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
            return UserError(file_too_big())
        try:
            return Upload(name, await retry_when_busy(partial(_download_file, media), self._sleep))
        except ChatUnreachable as error:  # of an album, the other photos are taken all the same
            log.info("a photo could not be fetched from Telegram: %s", error)
            is_too_big = "too big" in str(error)
            return UserError(file_too_big() if is_too_big else translate("photo-not-fetched"))


def _is_meant_for_bot(bot: Bot, message: Message) -> bool:
    """Return whether words are for us: a command of ours, or in a group an answer to one of our messages."""
    if message.chat.type == Chat.PRIVATE:
        return True
    text = message.text or ""
    typed = parse_command(text) if has_slash(text) else None
    if typed is not None and typed.mention and typed.mention.lower() != bot.username.lower():
        return False
    if typed is not None and typed.command is not None:
        return True
    return is_reply_to_bot(bot, message) and not is_anonymous(message)


def _refusal_key(message: Message) -> str | None:
    """Return the text for a message that holds a recording or a video; None for a photo or a file."""
    mime_type = (message.document.mime_type or "") if message.document is not None else ""
    if message.voice or message.audio or mime_type.startswith("audio/"):
        return "cannot-hear"
    if message.video or message.video_note or message.animation or mime_type.startswith("video/"):
        return "cannot-watch"
    return None


async def _download_file(media: Document | PhotoSize) -> bytes:
    with translate_errors():
        file = await media.get_file()
        return bytes(await file.download_as_bytearray())
