"""The platform Telegram, as the rest of the bot sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from telegram import BotCommand, BotCommandScope, BotCommandScopeChat, Update
from telegram.constants import FileSizeLimit, UpdateType
from telegram.error import InvalidToken, RetryAfter, TelegramError
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, ContextTypes
from telegram.helpers import create_deep_linked_url
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_exception,
)

from bot.chats.commands import COMMANDS
from bot.chats.telegram.addresses import TelegramChatId, parse_chat_address
from bot.chats.telegram.callbacks import ACKNOWLEDGE_TIMEOUT_S, CallbackHandlers
from bot.chats.telegram.errors import get_error, retry_after_s, retry_when_busy, translate_errors
from bot.chats.telegram.handlers import AlbumPause, MessageHandlers
from bot.chats.telegram.http import AiohttpRequest, proxy_for
from bot.chats.telegram.limits import Priority, RateLimits
from bot.chats.telegram.rate_limiter import TelegramRateLimiter
from bot.chats.telegram.replies import TelegramReplies
from bot.chats.telegram.sender import TelegramSender
from bot.chats.telegram.updates import PollingBot, UpdatePoller, UpdateProcessor
from bot.chats.telegram.webhook import Webhook
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatError, ChatUnreachable, PicturesRefused, SettingsError
from bot.core.messages import Reply
from bot.core.retry import Sleep
from bot.services import Services
from bot.texts import ENGLISH, languages, translate, translate_to, use_language
from bot.texts.admin.commands import ADMIN_COMMANDS
from bot.texts.commands import command_name

log = logging.getLogger(__name__)

#: An album comes as one message a photo, without count or end mark: it is whole when none came for so long.
ALBUM_TIMEOUT_S = 1.0
DEFAULT_ALBUM_PAUSE = partial(asyncio.sleep, ALBUM_TIMEOUT_S)
#: Between tries to reach Telegram at the start.
CONNECT_RETRY_S = 5.0
MAX_CONNECTIONS = 256
DEFAULT_LIMITS = RateLimits()
_ALLOWED_UPDATES = [UpdateType.MESSAGE, UpdateType.EDITED_MESSAGE, UpdateType.CALLBACK_QUERY]


class TelegramAdapter:
    """The adapter of Telegram. `api_url` is the Bot API's, Telegram's own or a self-hosted one.

    With a `webhook` Telegram brings updates itself; else they are asked for.
    """

    platform = Platform.TELEGRAM
    max_file_bytes = int(FileSizeLimit.FILESIZE_UPLOAD)

    def __init__(
        self,
        services: Services,
        token: str,
        api_url: str,
        album_pause: AlbumPause = DEFAULT_ALBUM_PAUSE,
        acknowledge_timeout_s: float = ACKNOWLEDGE_TIMEOUT_S,
        webhook: Webhook | None = None,
        limits: RateLimits = DEFAULT_LIMITS,
        sleep: Sleep = asyncio.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        proxy = proxy_for(api_url)
        self._http_requests = AiohttpRequest(MAX_CONNECTIONS, proxy), AiohttpRequest(1, proxy)
        bot = PollingBot(
            token,
            f"{api_url}/bot",
            f"{api_url}/file/bot",
            request=self._http_requests[0],
            get_updates_request=self._http_requests[1],
            rate_limiter=TelegramRateLimiter(limits, sleep, clock_s),
        )
        # Updates come by ways of our own.
        self._app: Application = ApplicationBuilder().bot(bot).updater(None).build()  # type: ignore[type-arg]
        self._bot = bot
        self._services = services
        self._webhook = webhook
        self._processor = UpdateProcessor(self._app, services)
        self._username = ""
        self._sleep = sleep
        self._reply_sender, self._notice_sender, self._card_sender = (
            TelegramSender(self._app.bot, rank, sleep)
            for rank in (Priority.ANSWER, Priority.NOTICE, Priority.CARD)
        )
        replies = TelegramReplies(self._reply_sender, services, sleep)
        self._app.add_handlers(
            MessageHandlers(services, replies, self._processor.is_replay, album_pause, sleep).handlers()
        )
        self._app.add_handler(
            CallbackQueryHandler(
                CallbackHandlers(
                    services, replies, self._processor.is_replay, acknowledge_timeout_s
                ).on_callback_query
            )
        )
        self._app.add_error_handler(self._on_error)

    async def run(self) -> None:
        """Listen until cancelled. SettingsError when Telegram does not know the token."""
        async with contextlib.AsyncExitStack() as stack:
            # Also when the meeting fails, or is broken off: then the library closes nothing.
            for request in self._http_requests:
                stack.push_async_callback(request.shutdown)
            stack.push_async_callback(self._app.bot.shutdown)
            await self._connect()
            stack.push_async_callback(self._app.shutdown)
            stack.push_async_callback(self._processor.close)
            await self._processor.resume()
            if self._webhook is not None:
                await stack.enter_async_context(
                    self._webhook.serve(self._app.bot, self._processor, _ALLOWED_UPDATES)
                )
                await self._publish_commands()
                await asyncio.Event().wait()  # updates come in tasks of their own; we end by being cancelled
            polling = UpdatePoller(self._bot, self._processor, _ALLOWED_UPDATES, self._sleep)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(polling.run(), name="telegram-polling")
                tasks.create_task(self._publish_commands(), name="telegram-commands")

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Send a message. Telegram has no nonce; the notifier edits where it can, so that it needs none.

        Whoever waits for it in a group is named there, unless it is a card, which is there to be read. Where
        the group takes nothing of ours, it goes to their private chat.
        """
        mention_user_id = (
            None if address.is_private or reply.card_job_id is not None else int(address.user_id)
        )
        sender = self._notice_sender
        try:
            return await sender.send(parse_chat_address(address), reply, mention_user_id=mention_user_id)
        except PicturesRefused:
            raise
        except ChatUnreachable as error:
            if address.is_private:
                raise
            log.info("%s cannot be reached; its person is written to: %s", address.chat_id, error)
        message_id = await sender.send(TelegramChatId(int(address.user_id)), reply)
        return f"{address.user_id}:{message_id}"

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Make a message read like `reply`; pictures are put into it, further ones follow."""
        sender = self._notice_sender if reply.card_job_id is None else self._card_sender
        return await sender.edit(parse_chat_address(address), message_id, reply)

    def start_link(self, payload: str) -> str:
        """Return the link that opens a chat with the bot and passes a payload; empty before it has a name."""
        return create_deep_linked_url(self._username, payload) if self._username else ""

    async def _connect(self) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TelegramError) & retry_if_not_exception_type(InvalidToken),
            wait=wait_exception(_connect_retry_s),
            before_sleep=_log_connect_error,
            sleep=self._sleep,
        )
        try:
            await retrying(self._app.initialize)
        except InvalidToken:
            raise SettingsError(
                "TELEGRAM_BOT_TOKEN was refused by Telegram; ask BotFather for the bot's token."
            ) from None  # the cause may quote the token
        self._username = self._app.bot.username

    async def _publish_commands(self) -> None:
        for language in languages():
            await self._publish_commands_in(language)

    async def _publish_commands_in(self, language: str) -> None:
        # What has no language code is for everybody whose language is none of ours.
        language_code = None if language == ENGLISH else language
        commands = [
            BotCommand(command_name(each.name, language), translate_to(language, f"telegram-{each.name}"))
            for each in COMMANDS
            if not each.is_admin
        ]
        try:
            await retry_when_busy(partial(self._set_commands, commands, None, language_code), self._sleep)
        except ChatError:
            log.exception("the list of commands could not be published")
        commands += [
            BotCommand(each.name, ADMIN_COMMANDS[each.name][0]) for each in COMMANDS if each.is_admin
        ]
        for admin in self._services.access.list_admins(self.platform):
            scope = BotCommandScopeChat(int(admin.user_id))
            try:
                await retry_when_busy(
                    partial(self._set_commands, commands, scope, language_code), self._sleep
                )
            except ChatError as error:  # they never wrote to the bot: Telegram does not know their chat
                log.warning("an administrator's list of commands could not be published: %s", error)

    async def _set_commands(
        self, commands: Sequence[BotCommand], scope: BotCommandScope | None, language_code: str | None
    ) -> None:
        with translate_errors():
            await self._app.bot.set_my_commands(commands, scope, language_code=language_code)

    async def _on_error(self, update: object, context: ContextTypes.DEFAULT_TYPE) -> None:
        log.error("an update of Telegram failed", exc_info=context.error)
        if isinstance(update, Update) and update.effective_chat is not None:
            user = update.effective_user
            locale = "" if user is None else user.language_code or ""
            # The failure itself is in the log already.
            with contextlib.suppress(ChatError), use_language(locale):
                message = update.effective_message
                thread_id = message.message_thread_id if message and message.is_topic_message else None
                await self._reply_sender.send(
                    TelegramChatId(update.effective_chat.id, thread_id), Reply(translate("apology"))
                )


def _connect_retry_s(error: BaseException) -> float:
    return retry_after_s(error) if isinstance(error, RetryAfter) else CONNECT_RETRY_S


def _log_connect_error(state: RetryCallState) -> None:
    log.warning("Telegram cannot be reached (%s); trying again", type(get_error(state)).__name__)
