"""What people write and send, and which use case it is for."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from telegram import Bot, Chat, Document, Message, PhotoSize, Update
from telegram.constants import FileSizeLimit
from telegram.ext import CommandHandler, ContextTypes, MessageHandler, filters

from bot.chats.base import enter, handle, handle_command
from bot.chats.commands import COMMANDS, Command
from bot.chats.telegram.errors import retry_when_busy, translate_errors
from bot.chats.telegram.replies import (
    MessageRef,
    TelegramReplies,
    is_addressed_to_bot,
    is_anonymous,
    is_reply_to_bot,
    to_message_ref,
)
from bot.chats.telegram.updates import idempotency_key
from bot.core.errors import UserError
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
#: The answer to what is not meant for us: nothing is shown.
NO_REPLY = Reply("")


@dataclass(eq=False, slots=True)
class _Album:
    """The photos that belong together; a single one is an album of its own."""

    messages: list[Message] = field(default_factory=list)
    photo_tasks: dict[int, asyncio.Task[PhotoInput]] = field(default_factory=dict)  #: by message
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
        self._albums: dict[tuple[int, str], _Album] = {}  # each chat has numbers of its own
        self._addressed_albums: deque[tuple[int, str | None]] = deque(maxlen=MAX_REMEMBERED_ALBUMS)

    def handlers(self) -> list[CommandHandler[_Context, Any] | MessageHandler[_Context, Any]]:
        """Return what listens, in the order in which it is asked."""
        new_message = filters.UpdateType.MESSAGE
        private = filters.ChatType.PRIVATE & new_message
        group = filters.ChatType.GROUPS & new_message
        photos = filters.PHOTO | filters.Document.ALL
        text = filters.TEXT & ~filters.COMMAND
        return [
            *(self._build_handler(command) for command in COMMANDS),
            MessageHandler((private | group) & photos, self._on_photo),
            MessageHandler(private & text, self._on_text),
            MessageHandler(private & ~filters.StatusUpdate.ALL, self._on_other),
            MessageHandler(group & filters.REPLY & text, self._on_group_text),
        ]

    def _build_handler(self, command: Command) -> CommandHandler[_Context, None]:
        async def on_command(update: Update, context: _Context) -> None:
            async def answer_command(request: Request) -> Reply:
                _, *arguments = request.text.split(maxsplit=1)
                request = replace(request, text=arguments[0] if arguments else "")
                return await handle_command(self._services, command, request)

            await self._answer(update, answer_command)

        # Whatever a command is called in any language, it is understood: people change their app's.
        return CommandHandler(command.names, on_command, filters.UpdateType.MESSAGE)

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

    async def _prepare_photo(self, ref: MessageRef, message: Message) -> PhotoInput:
        """Fetch and decode a photo of an album while it is not known yet whether another one comes."""
        async with enter(self._services, Request(ref.identity, ref.address)) as request:
            upload = await self._download_upload(message)
            return await self._services.photo_sets.predecode_photo(replace(request, uploads=(upload,)))

    async def _handle_album(self, update: Update, album: _Album, bot: Bot) -> None:
        messages = sorted(album.messages, key=lambda each: each.message_id)
        is_private = messages[0].chat.type == Chat.PRIVATE
        if not is_private and not self._is_addressed(album, bot):
            return  # what people show each other in a group is not even fetched

        async def add_photos(request: Request) -> Reply:
            # What could not be opened early says so here, where its person is told.
            uploads = await asyncio.gather(
                *(album.photo_tasks.get(each.message_id) or self._download_upload(each) for each in messages)
            )
            return await self._services.photo_sets.add_photos(replace(request, uploads=tuple(uploads)))

        await self._answer(update, lambda request: handle(self._services, add_photos, request), messages[-1])

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
        async def answer_text(request: Request) -> Reply:
            reply = await self._services.messages.answer_text(request)
            return reply or Reply(translate("unknown-command"))

        await self._answer(
            update, lambda request: handle(self._services, answer_text, request, AccessLevel.INVITED)
        )

    async def _on_group_text(self, update: Update, context: _Context) -> None:
        """Take an answer to a message of ours as a prompt; what people say to each other is theirs."""
        message = update.effective_message
        if message is None or not is_reply_to_bot(context.bot, message) or is_anonymous(message):
            return

        async def answer_text(request: Request) -> Reply:
            return await self._services.messages.answer_text(request) or NO_REPLY

        await self._answer(
            update, lambda request: handle(self._services, answer_text, request, AccessLevel.INVITED)
        )

    async def _on_other(self, update: Update, context: _Context) -> None:
        async def answer_unknown(request: Request) -> Reply:
            return Reply(translate("unknown-command"))

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
        return Request(
            ref.identity,
            ref.address,
            text=message.text or "",
            idempotency_key=idempotency_key(update),
            is_replay=self._is_replay(update.update_id),
        )

    async def _download_upload(self, message: Message) -> Upload | UserError:
        """Fetch a photo's bytes at once: the link to them is good for an hour only."""
        media = message.document or message.photo[-1]
        name = getattr(media, "file_name", None) or "photo"
        if (media.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
            return UserError(file_too_big())
        return Upload(name, await retry_when_busy(partial(_download_file, media), self._sleep))


async def _download_file(media: Document | PhotoSize) -> bytes:
    with translate_errors():
        file = await media.get_file()
        return bytes(await file.download_as_bytearray())
