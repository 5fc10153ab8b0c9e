"""Telegram: one thin adapter on python-telegram-bot."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from telegram import (
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyParameters,
    Update,
)
from telegram.constants import FileSizeLimit, MediaGroupLimit, MessageLimit, UpdateType
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.ext import (
    Application,
    ApplicationBuilder,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    filters,
)

from bot import texts
from bot.chats.base import answered
from bot.domain import Identity, Place, Platform
from bot.errors import ChatBusy, ChatUnreachable, SettingsError
from bot.replies import Reply, Upload
from bot.studio import Studio

log = logging.getLogger(__name__)

#: An album comes as one message a photo, without count or end mark: it is whole when none came for so long.
ALBUM_PAUSE_S = 1.0
#: Between tries to reach Telegram at the start.
FIRST_CONTACT_PAUSE_S = 5.0
#: When the network failed or Telegram gave no number.
BUSY_S = 5.0
COMMANDS = {
    "start": "what this bot does",
    "train": "make a LoraCode from five photos",
    "generate": "draw: /generate <code> <prompt>",
    "codes": "your LoraCodes",
    "cancel": "stop your newest job",
    "help": "all commands",
}
_Context: TypeAlias = ContextTypes.DEFAULT_TYPE
_Call: TypeAlias = Callable[[Identity, Place, str], Awaitable[Reply]]


class TelegramChat:
    """The adapter of Telegram. `api_url` is the Bot API's, Telegram's own or a self-hosted one."""

    platform = Platform.TELEGRAM

    def __init__(
        self, studio: Studio, token: str, api_url: str, album_pause_s: float = ALBUM_PAUSE_S
    ) -> None:
        self._studio = studio
        self._album_pause_s = album_pause_s
        self._albums: dict[str, list[Message]] = {}
        self._app: Application = (  # type: ignore[type-arg]
            ApplicationBuilder()
            .token(token)
            .base_url(f"{api_url}/bot")
            .base_file_url(f"{api_url}/file/bot")
            .concurrent_updates(True)
            .build()
        )
        self._add_handlers()

    async def run(self) -> None:
        """Listen until cancelled. SettingsError when Telegram does not know the token."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._app.bot.shutdown)  # also when the meeting fails
            await self._meet_telegram()
            stack.push_async_callback(self._app.shutdown)
            await self._app.start()
            stack.push_async_callback(self._app.stop)
            updater = self._app.updater
            assert updater is not None  # noqa: S101 - the builder makes one unless told otherwise
            await updater.start_polling(allowed_updates=[UpdateType.MESSAGE, UpdateType.CALLBACK_QUERY])
            stack.push_async_callback(updater.stop)
            await self._publish_commands()
            await asyncio.Event().wait()  # polling goes on in tasks of the library; we end by being cancelled

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Send a message. Telegram has no nonce; the notifier edits where it can, so that it needs none."""
        with _translated():
            return str(await self._send(int(place.chat_id), reply))

    async def edit(self, place: Place, message_id: str, reply: Reply) -> None:
        """Make a message read like `reply`; pictures are put into it, further ones follow."""
        chat_id, number = int(place.chat_id), int(message_id)
        try:
            with _translated():
                await self._edit(chat_id, number, reply)
        except BadRequest as refusal:
            if "not modified" in str(refusal).lower():
                return
            raise ChatUnreachable(f"the message cannot be edited: {refusal.message}") from refusal

    # --- from Telegram -----------------------------------------------------------------------------------

    def _add_handlers(self) -> None:
        studio, add = self._studio, self._app.add_handler
        add(self._command("start", lambda who, place, _: studio.start(who, place)))
        add(self._command("help", lambda who, place, _: studio.help(who)))
        add(self._command("train", lambda who, place, _: studio.train(who, place)))
        add(self._command("generate", lambda who, place, text: studio.generate_text(who, place, text)))
        add(self._command("codes", lambda who, place, _: studio.codes(who)))
        add(self._command("cancel", lambda who, place, text: studio.cancel(who, text)))
        add(self._command("status", lambda who, place, _: studio.status(who)))
        private = filters.ChatType.PRIVATE & filters.UpdateType.MESSAGE
        add(MessageHandler(private & (filters.PHOTO | filters.Document.ALL), self._on_photo))
        add(MessageHandler(private & ~filters.StatusUpdate.ALL, self._on_other))
        add(CallbackQueryHandler(self._on_button))
        self._app.add_error_handler(self._on_error)

    def _command(self, name: str, call: _Call) -> CommandHandler[_Context, None]:
        async def handle(update: Update, context: _Context) -> None:
            message = update.effective_message
            if message is not None and message.from_user is not None:
                text = (message.text or "").partition(" ")[2] if message.text else ""
                await self._answer(message, call(_who(message), _place(message), text))

        return CommandHandler(name, handle, filters.UpdateType.MESSAGE)

    async def _on_photo(self, update: Update, context: _Context) -> None:
        message = update.effective_message
        if message is None:
            return
        if message.media_group_id is None:
            await self._take([message])
            return
        album = self._albums.setdefault(message.media_group_id, [])
        album.append(message)
        count = len(album)
        await asyncio.sleep(self._album_pause_s)
        if len(album) == count:  # ours was the last to come
            self._albums.pop(message.media_group_id, None)
            await self._take(sorted(album, key=lambda each: each.message_id))

    async def _take(self, messages: Sequence[Message]) -> None:
        async def call() -> Reply:
            uploads = await asyncio.gather(*(_download(each) for each in messages))
            return await self._studio.add_photos(_who(messages[0]), _place(messages[0]), uploads)

        await self._answer(messages[-1], call())

    async def _on_other(self, update: Update, context: _Context) -> None:
        if update.effective_message is not None:
            await self._answer(update.effective_message, _unknown())

    async def _on_button(self, update: Update, context: _Context) -> None:
        query = update.callback_query
        if query is None or query.data is None or not isinstance(query.message, Message):
            return
        await query.answer()  # first of all: Telegram gives up on a button after some seconds
        who = Identity(Platform.TELEGRAM, str(query.from_user.id))
        place = Place(Platform.TELEGRAM, str(query.message.chat_id), str(query.from_user.id))
        await self._answer(query.message, self._studio.press(who, place, query.data))

    async def _answer(self, message: Message, call: Awaitable[Reply]) -> None:
        reply = await answered(call)
        number = await self._send(message.chat_id, reply, message)
        if reply.card_of is not None:
            await self._studio.card_shown(reply.card_of, str(number))

    async def _on_error(self, update: object, context: _Context) -> None:
        log.error("an update of Telegram failed", exc_info=context.error)
        if isinstance(update, Update) and update.effective_chat is not None:
            with contextlib.suppress(TelegramError):  # the failure itself is in the log already
                await self._send(update.effective_chat.id, texts.apology())

    # --- to Telegram -------------------------------------------------------------------------------------

    async def _meet_telegram(self) -> None:
        while True:
            try:
                await self._app.initialize()
            except InvalidToken:
                line = "TELEGRAM_BOT_TOKEN was refused by Telegram; ask BotFather for the bot's token."
                raise SettingsError(line) from None  # the cause may quote the token
            except NetworkError as error:
                log.warning("Telegram cannot be reached (%s); trying again", type(error).__name__)
                await asyncio.sleep(FIRST_CONTACT_PAUSE_S)
            else:
                return

    async def _publish_commands(self) -> None:
        try:
            await self._app.bot.set_my_commands([BotCommand(*each) for each in COMMANDS.items()])
        except TelegramError:
            log.exception("the list of commands could not be published")

    async def _send(self, chat_id: int, reply: Reply, answer_to: Message | None = None) -> int:
        bot, keyboard = self._app.bot, _keyboard(reply)
        quote = None
        if answer_to is not None and answer_to.chat.type != answer_to.chat.PRIVATE:
            quote = ReplyParameters(answer_to.message_id, allow_sending_without_reply=True)
        if not reply.pictures or len(reply.text) > MessageLimit.CAPTION_LENGTH:
            text = reply.text[: MessageLimit.MAX_TEXT_LENGTH]
            sent = await bot.send_message(chat_id, text, reply_markup=keyboard, reply_parameters=quote)
            await self._send_pictures(chat_id, reply.pictures)
            return int(sent.message_id)
        photo = await asyncio.to_thread(_as_photo, reply.pictures[0])
        sent = await bot.send_photo(chat_id, photo, caption=reply.text, reply_markup=keyboard)
        await self._send_pictures(chat_id, reply.pictures[1:])
        return int(sent.message_id)

    async def _send_pictures(self, chat_id: int, paths: Sequence[Path]) -> None:
        if len(paths) == 1:
            await self._app.bot.send_photo(chat_id, await asyncio.to_thread(_as_photo, paths[0]))
        elif paths:
            media = [InputMediaPhoto(await asyncio.to_thread(_as_photo, path)) for path in paths]
            await self._app.bot.send_media_group(chat_id, media[: MediaGroupLimit.MAX_MEDIA_LENGTH])

    async def _edit(self, chat_id: int, message_id: int, reply: Reply) -> None:
        bot, keyboard = self._app.bot, _keyboard(reply)
        if not reply.pictures:
            text = reply.text[: MessageLimit.MAX_TEXT_LENGTH]
            await bot.edit_message_text(text, chat_id, message_id, reply_markup=keyboard)
            return
        photo = await asyncio.to_thread(_as_photo, reply.pictures[0])
        media = InputMediaPhoto(photo, caption=reply.text[: MessageLimit.CAPTION_LENGTH])
        await bot.edit_message_media(media, chat_id, message_id, reply_markup=keyboard)
        await self._send_pictures(chat_id, reply.pictures[1:])


async def _unknown() -> Reply:
    return Reply(texts.UNKNOWN_COMMAND)


def _who(message: Message) -> Identity:
    user_id = message.from_user.id if message.from_user is not None else message.chat_id
    return Identity(Platform.TELEGRAM, str(user_id))


def _place(message: Message) -> Place:
    return Place(Platform.TELEGRAM, str(message.chat_id), _who(message).user_id)


async def _download(message: Message) -> Upload:
    """Fetch a photo's bytes at once: the link to them is good for an hour only."""
    source = message.document or message.photo[-1]
    name = getattr(source, "file_name", None) or "photo"
    if (source.file_size or 0) > FileSizeLimit.FILESIZE_DOWNLOAD:
        return Upload(name, None)
    file = await source.get_file()
    return Upload(name, bytes(await file.download_as_bytearray()))


def _keyboard(reply: Reply) -> InlineKeyboardMarkup | None:
    if not reply.buttons:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(each.label, callback_data=each.action)] for each in reply.buttons]
    )


def _as_photo(path: Path) -> bytes:
    """Read a picture as Telegram takes photos; over 10 MB it goes as JPEG."""
    data = path.read_bytes()
    if len(data) <= FileSizeLimit.PHOTOSIZE_UPLOAD:
        return data
    file = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(file, "JPEG", quality=95)
    return file.getvalue()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn Telegram's errors into ours; what Telegram calls a bad request stays for the caller."""
    try:
        yield
    except Forbidden as error:
        raise ChatUnreachable("the person has blocked the bot or left") from error
    except RetryAfter as error:
        wait = error.retry_after
        seconds = wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
        raise ChatBusy("Telegram asks to wait", seconds) from error
    except BadRequest as error:  # a NetworkError to the library, but trying again would not help
        if "chat not found" in error.message.lower():
            raise ChatUnreachable("the chat is gone") from error
        raise
    except NetworkError as error:
        raise ChatBusy(f"Telegram could not be reached: {type(error).__name__}", BUSY_S) from error
