"""What people write and send, and which use case it is for."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from telegram import Bot, Chat, Document, Message, PhotoSize, Update
from telegram.constants import FileSizeLimit
from telegram.ext import CommandHandler, ContextTypes, MessageHandler, filters

from bot.chats.base import run_use_case, use_language_of
from bot.chats.telegram.errors import retry_when_busy, translate_errors
from bot.chats.telegram.replies import (
    MessageRef,
    TelegramReplies,
    is_addressed_to_bot,
    is_anonymous,
    is_reply_to_bot,
    to_message_ref,
)
from bot.core.accounts import ChatAddress, Identity
from bot.core.messages import PhotoInput, Reply, Upload
from bot.services import Services
from bot.texts import translate
from bot.texts.admin import ADMIN_COMMANDS
from bot.texts.commands import COMMANDS, command_names

log = logging.getLogger(__name__)

#: So many albums in groups are remembered as meant for us: photos of them may still come.
MAX_REMEMBERED_ALBUMS = 100

_Context: TypeAlias = ContextTypes.DEFAULT_TYPE
_UseCase: TypeAlias = Callable[[Identity, ChatAddress, str], Awaitable[Reply]]


@dataclass(eq=False, slots=True)
class _Album:
    """The photos that belong together; a single one is an album of its own."""

    messages: list[Message] = field(default_factory=list)
    photo_tasks: dict[int, asyncio.Task[PhotoInput]] = field(default_factory=dict)  #: by message
    handled: asyncio.Event = field(default_factory=asyncio.Event)


class MessageHandlers:
    """Takes messages. An album is whole when no further photo of it came for `album_pause_s`."""

    def __init__(self, services: Services, replies: TelegramReplies, album_timeout_s: float) -> None:
        self._services = services
        self._replies = replies
        self._album_timeout_s = album_timeout_s
        self._albums: dict[tuple[int, str], _Album] = {}  # each chat has numbers of its own
        self._addressed_albums: deque[tuple[int, str | None]] = deque(maxlen=MAX_REMEMBERED_ALBUMS)

    def handlers(self) -> list[CommandHandler[_Context, Any] | MessageHandler[_Context, Any]]:
        """Give what listens, in the order in which it is asked."""
        new_message = filters.UpdateType.MESSAGE
        private = filters.ChatType.PRIVATE & new_message
        group = filters.ChatType.GROUPS & new_message
        photos = filters.PHOTO | filters.Document.ALL
        text = filters.TEXT & ~filters.COMMAND
        return [
            *(self._build_handler(name, call) for name, call in self._use_cases().items()),
            MessageHandler((private | group) & photos, self._on_photo),
            MessageHandler(private & text, self._on_text),
            MessageHandler(private & ~filters.StatusUpdate.ALL, self._on_other),
            MessageHandler(group & filters.REPLY & text, self._on_group_text),
        ]

    def _use_cases(self) -> dict[str, _UseCase]:
        services = self._services
        return {
            "start": services.start_chat,
            "help": lambda who, place, _: services.show_help(who),
            "train": lambda who, place, _: services.start_training(who, place),
            "generate": services.generate_from_text,
            "show": services.show_result,
            "export": services.export_lora,
            "ask": services.request_access,
            "report": services.report_lora,
            "codes": lambda who, place, _: services.list_loras(who, place),
            "more": services.continue_training,
            "replace": services.replace_photo,
            "queue": lambda who, place, _: services.show_queue(who),
            "cancel": lambda who, place, text: services.cancel_job(who, text),
            "link": services.link_accounts,
            "settings": lambda who, place, _: services.show_settings(who),
            "privacy": lambda who, place, _: services.show_privacy(who),
            "forgetme": lambda who, place, _: services.ask_to_erase(who),
            **{name: self._admin_use_case(name) for name in ADMIN_COMMANDS},
        }

    def _admin_use_case(self, name: str) -> _UseCase:
        return lambda who, place, text: self._services.run_admin_command(who, name, text)

    def _build_handler(self, name: str, use_case: _UseCase) -> CommandHandler[_Context, None]:
        async def run_command(ref: MessageRef, message: Message) -> Reply:
            _, *arguments = (message.text or "").split(maxsplit=1)
            return await use_case(ref.identity, ref.address, arguments[0] if arguments else "")

        async def handle_update(update: Update, context: _Context) -> None:
            await self._handle_message(update.effective_message, run_command)

        # Whatever a command is called in any language, it is understood: people change their app's.
        names = command_names(name) if name in COMMANDS else (name,)
        return CommandHandler(names, handle_update, filters.UpdateType.MESSAGE)

    async def _on_photo(self, update: Update, context: _Context) -> None:
        message = update.effective_message
        if message is None:
            return
        if message.media_group_id is None:
            await self._handle_album(_Album([message]), context.bot)
            return
        album_key = message.chat.id, message.media_group_id
        album = self._albums.setdefault(album_key, _Album())
        album.messages.append(message)
        message_count = len(album.messages)
        ref = to_message_ref(message)
        if message.chat.type == Chat.PRIVATE and ref is not None:
            album.photo_tasks[message.message_id] = asyncio.create_task(self._prepare_photo(ref, message))
        await asyncio.sleep(self._album_timeout_s)
        if len(album.messages) > message_count:  # none of its messages is worked off before it is
            await album.handled.wait()
            return
        self._albums.pop(album_key, None)
        try:
            await self._handle_album(album, context.bot)
        finally:
            album.handled.set()

    async def _prepare_photo(self, ref: MessageRef, message: Message) -> PhotoInput:
        """Fetch and open a photo of an album while it is not known yet whether another one comes."""
        upload = await self._fetch_upload(ref, message)
        async with use_language_of(self._services, ref.identity):
            return await self._services.predecode_photo(ref.identity, upload)

    async def _fetch_upload(self, ref: MessageRef, message: Message) -> Upload:
        await self._services.require_access(ref.identity)
        return await _download_upload(message)

    async def _handle_album(self, album: _Album, bot: Bot) -> None:
        messages = sorted(album.messages, key=lambda each: each.message_id)
        is_private = messages[0].chat.type == Chat.PRIVATE
        if not is_private and not self._is_addressed(album, bot):
            return  # what people show each other in a group is not even fetched

        async def add_photos(ref: MessageRef, message: Message) -> Reply:
            # What could not be opened early says so here, where its person is told.
            uploads = await asyncio.gather(
                *(
                    album.photo_tasks.get(each.message_id) or self._fetch_upload(ref, each)
                    for each in messages
                )
            )
            return await self._services.add_photos(ref.identity, ref.address, uploads)

        await self._handle_message(messages[-1], add_photos)

    def _is_addressed(self, album: _Album, bot: Bot) -> bool:
        """Tell whether an album in a group is for us: its first photo alone says so, others may be late."""
        album_key = album.messages[0].chat.id, album.messages[0].media_group_id
        if album_key not in self._addressed_albums:
            if not any(is_addressed_to_bot(bot, each) for each in album.messages):
                return False
            if album_key[1] is not None:
                self._addressed_albums.append(album_key)
        return True

    async def _on_text(self, update: Update, context: _Context) -> None:
        async def answer_text(ref: MessageRef, message: Message) -> Reply:
            reply = await self._services.handle_text(ref.identity, ref.address, message.text or "")
            return Reply(translate("unknown-command")) if reply is None else reply

        await self._handle_message(update.effective_message, answer_text)

    async def _on_group_text(self, update: Update, context: _Context) -> None:
        """Take an answer to a message of ours as a prompt; what people say to each other is theirs."""
        message = update.effective_message
        if message is None or not is_reply_to_bot(context.bot, message):
            return
        ref = to_message_ref(message)
        if ref is None or is_anonymous(message):
            return
        async with use_language_of(self._services, ref.identity):
            reply = await run_use_case(
                self._services.handle_text(ref.identity, ref.address, message.text or "")
            )
            if reply is not None:
                await self._replies.show(ref, reply)

    async def _on_other(self, update: Update, context: _Context) -> None:
        async def answer_unknown(ref: MessageRef, message: Message) -> Reply:
            return Reply(translate("unknown-command"))

        await self._handle_message(update.effective_message, answer_unknown)

    async def _handle_message(
        self, message: Message | None, handler: Callable[[MessageRef, Message], Awaitable[Reply]]
    ) -> None:
        ref = to_message_ref(message) if message is not None else None
        if message is None or ref is None:
            return
        async with use_language_of(self._services, ref.identity):
            if is_anonymous(message):
                reply = Reply(translate("who-are-you"))
            else:
                reply = await run_use_case(handler(ref, message))
            await self._replies.show(ref, reply)


async def _download_upload(message: Message) -> Upload:
    """Fetch a photo's bytes at once: the link to them is good for an hour only."""
    media = message.document or message.photo[-1]
    name = getattr(media, "file_name", None) or "photo"
    if (media.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
        return Upload(name, None)
    return Upload(name, await retry_when_busy(partial(_download_file, media)))


async def _download_file(media: Document | PhotoSize) -> bytes:
    with translate_errors():
        file = await media.get_file()
        return bytes(await file.download_as_bytearray())
