"""Updates that Telegram brings itself, instead of being asked for them: a small web server with a secret."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from telegram import Bot
from telegram.error import BadRequest, NetworkError, RetryAfter

from bot.chats.telegram.updates import Incoming, read
from bot.core.addresses import Address
from bot.core.errors import LedgerError, SettingsError

log = logging.getLogger(__name__)

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
#: A long message with all its entities is some tens of kilobytes.
MAX_UPDATE_BYTES = 2**20
#: Between tries to tell Telegram where we listen.
PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where Telegram brings updates (`url`), where we listen, and what proves that it is Telegram."""

    url: str
    address: Address
    secret: str = field(repr=False)

    @asynccontextmanager
    async def opened(self, bot: Bot, incoming: Incoming, updates: Sequence[str]) -> AsyncIterator[None]:
        """Take `updates` inside the block; SettingsError when the port cannot be had or Telegram refuses.

        Afterwards Telegram still knows the address: it keeps what comes until we are back.
        """
        pages = web.Application(client_max_size=MAX_UPDATE_BYTES)
        # Whatever the path: what stands in front may have cut it, and the secret is what counts.
        pages.router.add_post("/{path:.*}", _Desk(bot, incoming, self.secret).take)
        runner = web.AppRunner(pages, access_log=None)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self.address.host, self.address.port).start()
            except OSError as error:
                why = error.strerror or error
                line = f"TELEGRAM_WEBHOOK_LISTEN: {self.address} cannot be listened on ({why})."
                raise SettingsError(line) from error
            await self._tell(bot, updates)
            log.info("Telegram brings its updates to %s", self.address)
            yield
        finally:
            await runner.cleanup()

    async def _tell(self, bot: Bot, updates: Sequence[str]) -> None:
        while True:
            try:
                await bot.set_webhook(self.url, allowed_updates=list(updates), secret_token=self.secret)
            except BadRequest as refusal:
                line = f"TELEGRAM_WEBHOOK_URL: Telegram refuses it ({refusal.message})."
                raise SettingsError(line) from None
            except (NetworkError, RetryAfter) as error:
                log.warning("Telegram could not be told where we listen (%s)", type(error).__name__)
                await asyncio.sleep(PAUSE_S)
            else:
                return


class _Desk:
    """Takes updates from whoever has the secret; others are sent away and not heard."""

    def __init__(self, bot: Bot, incoming: Incoming, secret: str) -> None:
        self._bot = bot
        self._incoming = incoming
        self._secret = secret.encode()

    async def take(self, request: web.Request) -> web.Response:
        """Take an update as polling would; it is ours, and told to be, when it is in the ledger."""
        secret = request.headers.get(SECRET_HEADER, "").encode(errors="surrogateescape")  # whatever it was
        if not hmac.compare_digest(secret, self._secret):
            return web.Response(status=403)
        try:
            update = read(await request.json(), self._bot)
        except ValueError:
            log.exception("what Telegram brought is no JSON")
            return web.Response()
        try:
            await self._incoming.take([] if update is None else [update])
        except LedgerError as error:
            log.error("an update cannot be kept: %s; Telegram brings it again", error)
            return web.Response(status=503)
        return web.Response()
