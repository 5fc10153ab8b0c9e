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

from bot import texts
from bot.chats.base import answered, speaking
from bot.chats.telegram.errors import patiently, translated
from bot.chats.telegram.replies import Answers, Spot, answers_us, is_for, is_nameless, spot_of
from bot.core.accounts import Identity, Place
from bot.core.messages import Reply, SentPhoto, Upload
from bot.services.studio import Studio

log = logging.getLogger(__name__)

#: So many albums in groups are remembered as meant for us: photos of them may still come.
LATE_ALBUMS = 100

_Context: TypeAlias = ContextTypes.DEFAULT_TYPE
_Call: TypeAlias = Callable[[Identity, Place, str], Awaitable[Reply]]


@dataclass(eq=False, slots=True)
class _Album:
    """The photos that belong together; a single one is an album of its own."""

    messages: list[Message] = field(default_factory=list)
    opened: dict[int, asyncio.Task[SentPhoto]] = field(default_factory=dict)  #: by message
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class Inbox:
    """Takes messages. An album is whole when no further photo of it came for `album_pause_s`."""

    def __init__(self, studio: Studio, answers: Answers, album_pause_s: float) -> None:
        self._studio = studio
        self._answers = answers
        self._album_pause_s = album_pause_s
        self._albums: dict[tuple[int, str], _Album] = {}  # each chat has numbers of its own
        self._meant: deque[tuple[int, str | None]] = deque(maxlen=LATE_ALBUMS)

    def handlers(self) -> list[CommandHandler[_Context, Any] | MessageHandler[_Context, Any]]:
        """Give what listens, in the order in which it is asked."""
        new = filters.UpdateType.MESSAGE
        private = filters.ChatType.PRIVATE & new
        group = filters.ChatType.GROUPS & new
        photos = filters.PHOTO | filters.Document.ALL
        words = filters.TEXT & ~filters.COMMAND
        return [
            *(self._command(name, call) for name, call in self._calls().items()),
            MessageHandler((private | group) & photos, self._on_photo),
            MessageHandler(private & words, self._on_words),
            MessageHandler(private & ~filters.StatusUpdate.ALL, self._on_other),
            MessageHandler(group & filters.REPLY & words, self._on_words_in_group),
        ]

    def _calls(self) -> dict[str, _Call]:
        studio = self._studio
        return {
            "start": studio.start,
            "help": lambda who, place, _: studio.help(who),
            "train": lambda who, place, _: studio.train(who, place),
            "generate": studio.generate_text,
            "show": studio.show,
            "export": studio.export,
            "ask": studio.ask,
            "report": studio.report,
            "codes": lambda who, place, _: studio.codes(who, place),
            "more": studio.more,
            "replace": studio.replace_photo,
            "queue": lambda who, place, _: studio.queue(who),
            "cancel": lambda who, place, text: studio.cancel(who, text),
            "link": studio.link,
            "settings": lambda who, place, _: studio.settings(who),
            "privacy": lambda who, place, _: studio.privacy(who),
            "forgetme": lambda who, place, _: studio.forgetme(who),
            **{name: self._of_admins(name) for name in texts.ADMIN_COMMANDS},
        }

    def _of_admins(self, name: str) -> _Call:
        return lambda who, place, text: self._studio.admin(who, name, text)

    def _command(self, name: str, call: _Call) -> CommandHandler[_Context, None]:
        async def work(spot: Spot, message: Message) -> Reply:
            _, *rest = (message.text or "").split(maxsplit=1)
            return await call(spot.who, spot.place, rest[0] if rest else "")

        async def handle(update: Update, context: _Context) -> None:
            await self._answer(update.effective_message, work)

        # Whatever a command is called in any language, it is understood: people change their app's.
        names = texts.command_names(name) if name in texts.COMMANDS else (name,)
        return CommandHandler(names, handle, filters.UpdateType.MESSAGE)

    async def _on_photo(self, update: Update, context: _Context) -> None:
        message = update.effective_message
        if message is None:
            return
        if message.media_group_id is None:
            await self._take(_Album([message]), context.bot)
            return
        name = message.chat.id, message.media_group_id
        album = self._albums.setdefault(name, _Album())
        album.messages.append(message)
        count = len(album.messages)
        spot = spot_of(message)
        if message.chat.type == Chat.PRIVATE and spot is not None:
            album.opened[message.message_id] = asyncio.create_task(self._opened(spot, message))
        await asyncio.sleep(self._album_pause_s)
        if len(album.messages) > count:  # none of its messages is worked off before it is
            await album.taken.wait()
            return
        self._albums.pop(name, None)
        try:
            await self._take(album, context.bot)
        finally:
            album.taken.set()

    async def _opened(self, spot: Spot, message: Message) -> SentPhoto:
        """Fetch and open a photo of an album while it is not known yet whether another one comes."""
        upload = await self._fetch(spot, message)
        async with speaking(self._studio, spot.who):
            return await self._studio.open_early(spot.who, upload)

    async def _fetch(self, spot: Spot, message: Message) -> Upload:
        await self._studio.admit(spot.who)
        return await _download(message)

    async def _take(self, album: _Album, bot: Bot) -> None:
        messages = sorted(album.messages, key=lambda each: each.message_id)
        is_private = messages[0].chat.type == Chat.PRIVATE
        if not is_private and not self._is_meant(album, bot):
            return  # what people show each other in a group is not even fetched

        async def work(spot: Spot, message: Message) -> Reply:
            # What could not be opened early says so here, where its person is told.
            uploads = await asyncio.gather(
                *(album.opened.get(each.message_id) or self._fetch(spot, each) for each in messages)
            )
            return await self._studio.add_photos(spot.who, spot.place, uploads)

        await self._answer(messages[-1], work)

    def _is_meant(self, album: _Album, bot: Bot) -> bool:
        """Tell whether an album in a group is for us: its first photo alone says so, others may be late."""
        name = album.messages[0].chat.id, album.messages[0].media_group_id
        if name not in self._meant:
            if not any(is_for(bot, each) for each in album.messages):
                return False
            if name[1] is not None:
                self._meant.append(name)
        return True

    async def _on_words(self, update: Update, context: _Context) -> None:
        async def work(spot: Spot, message: Message) -> Reply:
            reply = await self._studio.plain_text(spot.who, spot.place, message.text or "")
            return Reply(texts.UNKNOWN_COMMAND) if reply is None else reply

        await self._answer(update.effective_message, work)

    async def _on_words_in_group(self, update: Update, context: _Context) -> None:
        """Take an answer to a message of ours as a prompt; what people say to each other is theirs."""
        message = update.effective_message
        if message is None or not answers_us(context.bot, message):
            return
        spot = spot_of(message)
        if spot is None or is_nameless(message):
            return
        async with speaking(self._studio, spot.who):
            reply = await answered(self._studio.plain_text(spot.who, spot.place, message.text or ""))
            if reply is not None:
                await self._answers.give(spot, reply)

    async def _on_other(self, update: Update, context: _Context) -> None:
        async def work(spot: Spot, message: Message) -> Reply:
            return Reply(texts.UNKNOWN_COMMAND)

        await self._answer(update.effective_message, work)

    async def _answer(
        self, message: Message | None, work: Callable[[Spot, Message], Awaitable[Reply]]
    ) -> None:
        spot = spot_of(message) if message is not None else None
        if message is None or spot is None:
            return
        async with speaking(self._studio, spot.who):
            if is_nameless(message):
                reply = Reply(texts.WHO_ARE_YOU)
            else:
                reply = await answered(work(spot, message))
            await self._answers.give(spot, reply)


async def _download(message: Message) -> Upload:
    """Fetch a photo's bytes at once: the link to them is good for an hour only."""
    source = message.document or message.photo[-1]
    name = getattr(source, "file_name", None) or "photo"
    if (source.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
        return Upload(name, None)
    return Upload(name, await patiently(partial(_fetched, source)))


async def _fetched(source: Document | PhotoSize) -> bytes:
    with translated():
        file = await source.get_file()
        return bytes(await file.download_as_bytearray())
