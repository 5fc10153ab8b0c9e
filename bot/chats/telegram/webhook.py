"""Updates that Telegram brings itself, instead of being asked for them: a small web server with a secret."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from telegram import Bot
from telegram.error import BadRequest, NetworkError, RetryAfter
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_fixed,
)

from bot.chats.telegram.errors import get_error
from bot.chats.telegram.updates import UpdateProcessor, parse_update
from bot.core.addresses import ListenAddress
from bot.core.errors import DatabaseError, SettingsError

log = logging.getLogger(__name__)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
#: A long message with all its entities is some tens of kilobytes.
MAX_UPDATE_BYTES = 2**20
#: Between tries to tell Telegram where we listen.
REGISTER_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Telegram brings updates (`url`), where we listen, and what proves that it is Telegram."""

    url: str
    listen_address: ListenAddress
    secret: str = field(repr=False)

    @asynccontextmanager
    async def serve(
        self, bot: Bot, processor: UpdateProcessor, allowed_updates: Sequence[str]
    ) -> AsyncIterator[None]:
        """Take `updates` inside the block; SettingsError when the port cannot be had or Telegram refuses.

        Afterwards Telegram still knows the address: it keeps what comes until we are back.
        """
        app = web.Application(client_max_size=MAX_UPDATE_BYTES)
        # Whatever the path: what stands in front may have cut it, and the secret is what counts.
        app.router.add_post("/{path:.*}", WebhookHandler(bot, processor, self.secret).handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self.listen_address.host, self.listen_address.port).start()
            except OSError as error:
                reason = error.strerror or error
                raise SettingsError(
                    f"TELEGRAM_WEBHOOK_LISTEN: {self.listen_address} cannot be listened on ({reason})."
                ) from error
            await self._register(bot, allowed_updates)
            log.info("Telegram brings its updates to %s", self.listen_address)
            yield
        finally:
            await runner.cleanup()

    async def _register(self, bot: Bot, allowed_updates: Sequence[str]) -> None:
        retrying = AsyncRetrying(
            # A BadRequest is a NetworkError to the library, but trying again would not help.
            retry=retry_if_exception_type((NetworkError, RetryAfter))
            & retry_if_not_exception_type(BadRequest),
            wait=wait_fixed(REGISTER_RETRY_S),
            before_sleep=_log_register_error,
        )
        try:
            await retrying(
                bot.set_webhook,
                self.url,
                allowed_updates=list(allowed_updates),
                secret_token=self.secret,
            )
        except BadRequest as refusal:
            raise SettingsError(f"TELEGRAM_WEBHOOK_URL: Telegram refuses it ({refusal.message}).") from None


def _log_register_error(state: RetryCallState) -> None:
    log.warning("Telegram could not be told where we listen (%s)", type(get_error(state)).__name__)


class WebhookHandler:
    """Takes updates from whoever has the secret; others are sent away and not heard."""

    def __init__(self, bot: Bot, processor: UpdateProcessor, secret: str) -> None:
        self._bot = bot
        self._processor = processor
        self._secret = secret.encode()

    async def handle(self, request: web.Request) -> web.Response:
        """Take an update as polling would; it is ours, and told to be, when it is in the database."""
        secret = request.headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")  # whatever it was
        if not hmac.compare_digest(secret, self._secret):
            return web.Response(status=403)
        try:
            update = parse_update(await request.json(), self._bot)
        except ValueError:
            log.exception("what Telegram brought is no JSON")
            return web.Response()
        try:
            await self._processor.accept([] if update is None else [update])
        except DatabaseError as error:
            log.error("an update cannot be kept: %s; Telegram brings it again", error)
            return web.Response(status=503)
        return web.Response()
