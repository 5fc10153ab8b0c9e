"""The platform Telegram, as the rest of the bot sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from functools import partial

from telegram import BotCommand, BotCommandScope, BotCommandScopeChat, Update
from telegram.constants import FileSizeLimit, UpdateType
from telegram.error import InvalidToken, RetryAfter, TelegramError
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, ContextTypes
from telegram.helpers import create_deep_linked_url

from bot import texts
from bot.chats.telegram.callbacks import ACKNOWLEDGE_WITHIN_S, Presses
from bot.chats.telegram.errors import patiently, seconds_of, translated
from bot.chats.telegram.handlers import Inbox
from bot.chats.telegram.http import HttpRequest, proxy_for
from bot.chats.telegram.limits import Limits, Rank
from bot.chats.telegram.rate_limiter import Limiter
from bot.chats.telegram.replies import Answers
from bot.chats.telegram.sender import Post, Room, room_of
from bot.chats.telegram.updates import Incoming, PolledBot, Polling
from bot.chats.telegram.webhook import Webhook
from bot.core.accounts import Place, Platform
from bot.core.errors import ChatError, SettingsError
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)

#: An album comes as one message a photo, without count or end mark: it is whole when none came for so long.
ALBUM_PAUSE_S = 1.0
#: Between tries to reach Telegram at the start.
FIRST_CONTACT_PAUSE_S = 5.0
MAX_CONNECTIONS = 256
LIMITS = Limits()
_UPDATES = [UpdateType.MESSAGE, UpdateType.CALLBACK_QUERY]


class TelegramChat:
    """The adapter of Telegram. `api_url` is the Bot API's, Telegram's own or a self-hosted one.

    With a `webhook` Telegram brings updates itself; else they are asked for.
    """

    platform = Platform.TELEGRAM
    max_file_bytes = int(FileSizeLimit.FILESIZE_UPLOAD)

    def __init__(
        self,
        studio: Studio,
        token: str,
        api_url: str,
        album_pause_s: float = ALBUM_PAUSE_S,
        acknowledge_within_s: float = ACKNOWLEDGE_WITHIN_S,
        webhook: Webhook | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        proxy = proxy_for(api_url)
        self._requests = HttpRequest(MAX_CONNECTIONS, proxy), HttpRequest(1, proxy)
        bot = PolledBot(
            token,
            f"{api_url}/bot",
            f"{api_url}/file/bot",
            request=self._requests[0],
            get_updates_request=self._requests[1],
            rate_limiter=Limiter(limits),
        )
        # Updates come by ways of our own.
        self._app: Application = ApplicationBuilder().bot(bot).updater(None).build()  # type: ignore[type-arg]
        self._bot = bot
        self._studio = studio
        self._webhook = webhook
        self._incoming = Incoming(self._app, studio)
        self._name = ""
        self._post = Post(self._app.bot)
        self._notices, self._cards = (Post(self._app.bot, rank) for rank in (Rank.NOTICE, Rank.CARD))
        answers = Answers(self._post, studio)
        self._app.add_handlers(Inbox(studio, answers, album_pause_s).handlers())
        self._app.add_handler(CallbackQueryHandler(Presses(studio, answers, acknowledge_within_s).on_press))
        self._app.add_error_handler(self._on_error)

    async def run(self) -> None:
        """Listen until cancelled. SettingsError when Telegram does not know the token."""
        async with contextlib.AsyncExitStack() as stack:
            # Also when the meeting fails, or is broken off: then the library closes nothing.
            for request in self._requests:
                stack.push_async_callback(request.shutdown)
            stack.push_async_callback(self._app.bot.shutdown)
            await self._meet_telegram()
            stack.push_async_callback(self._app.shutdown)
            stack.push_async_callback(self._incoming.close)
            await self._incoming.resume()
            if self._webhook is not None:
                await stack.enter_async_context(self._webhook.opened(self._app.bot, self._incoming, _UPDATES))
                await self._publish_commands()
                await asyncio.Event().wait()  # updates come in tasks of their own; we end by being cancelled
            polling = Polling(self._bot, self._incoming, _UPDATES)
            async with asyncio.TaskGroup() as parts:
                parts.create_task(polling.run(), name="telegram-polling")
                parts.create_task(self._publish_commands(), name="telegram-commands")

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Send a message. Telegram has no nonce; the notifier edits where it can, so that it needs none.

        Whoever waits for it in a group is named there, unless it is a card, which is there to be read.
        """
        rings = None if place.is_private or reply.card_of is not None else int(place.user_id)
        return await self._notices.send(room_of(place), reply, rings=rings)

    async def edit(self, place: Place, message_id: str, reply: Reply) -> str:
        """Make a message read like `reply`; pictures are put into it, further ones follow."""
        post = self._notices if reply.card_of is None else self._cards
        return await post.edit(room_of(place), message_id, reply)

    def start_link(self, word: str) -> str:
        """Give the address that opens a chat with the bot and hands it a word; nothing before it is known."""
        return create_deep_linked_url(self._name, word) if self._name else ""

    async def _meet_telegram(self) -> None:
        while True:
            try:
                await self._app.initialize()
                self._name = self._app.bot.username
            except InvalidToken:
                line = "TELEGRAM_BOT_TOKEN was refused by Telegram; ask BotFather for the bot's token."
                raise SettingsError(line) from None  # the cause may quote the token
            except TelegramError as error:
                log.warning("Telegram cannot be reached (%s); trying again", type(error).__name__)
                pause_s = seconds_of(error) if isinstance(error, RetryAfter) else FIRST_CONTACT_PAUSE_S
                await asyncio.sleep(pause_s)
            else:
                return

    async def _publish_commands(self) -> None:
        for language in texts.languages():
            await self._publish_commands_in(language)

    async def _publish_commands_in(self, language: str) -> None:
        # What has no language code is for everybody whose language is none of ours.
        code = None if language == texts.ENGLISH else language
        commands = [
            BotCommand(texts.command_name(each, language), texts.said_in(language, f"telegram-{each}"))
            for each in texts.COMMANDS
        ]
        try:
            await patiently(partial(self._publish, commands, None, code))
        except ChatError:
            log.exception("the list of commands could not be published")
        commands += [BotCommand(name, what) for name, (what, _) in texts.ADMIN_COMMANDS.items()]
        for admin in self._studio.admins_on(self.platform):
            scope = BotCommandScopeChat(int(admin.user_id))
            try:
                await patiently(partial(self._publish, commands, scope, code))
            except ChatError as error:  # they never wrote to the bot: Telegram does not know their chat
                log.warning("an administrator's list of commands could not be published: %s", error)

    async def _publish(
        self, commands: Sequence[BotCommand], scope: BotCommandScope | None, code: str | None
    ) -> None:
        with translated():
            await self._app.bot.set_my_commands(commands, scope, language_code=code)

    async def _on_error(self, update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        log.error("an update of Telegram failed", exc_info=context.error)
        if isinstance(update, Update) and update.effective_chat is not None:
            user = update.effective_user
            locale = "" if user is None else user.language_code or ""
            # The failure itself is in the log already.
            with contextlib.suppress(ChatError), texts.use_language(locale):
                await self._post.send(Room(update.effective_chat.id), texts.apology())
