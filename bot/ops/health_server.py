"""Answers who asks how the bot is doing: `/healthz` and `/metrics`, on a port that a setting opens."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from bot.core.addresses import Address
from bot.core.errors import SettingsError
from bot.ops.metrics import Meter

log = logging.getLogger(__name__)

#: An answer that takes longer is no good one: orchestrators wait a few seconds.
TIMEOUT_S = 5.0


class Lookout:
    """A small web server. It takes nothing, and tells numbers only."""

    def __init__(self, meter: Meter, address: Address) -> None:
        self._meter = meter
        self._address = address
        #: The port it listens on, once it does.
        self.port = 0

    async def run(self) -> None:
        """Answer until cancelled; SettingsError when the port cannot be had."""
        pages = web.Application()
        pages.add_routes([web.get("/healthz", self._health), web.get("/metrics", self._metrics)])
        runner = web.AppRunner(pages, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._address.host, self._address.port)
            try:
                await site.start()
            except OSError as error:
                raise SettingsError(
                    f"METRICS_LISTEN: {self._address} cannot be listened on ({error.strerror or error})."
                ) from error
            self.port = runner.addresses[0][1]
            log.info("/healthz and /metrics are answered on %s:%d", self._address.host, self.port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        """Say whether the bot is well: it answers, and its ledger can be read."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._meter.check()
        except Exception as error:  # whatever it is: who asks is to restart us, or to tell somebody
            log.warning("the ledger cannot be read: %s", type(error).__name__)
            return web.json_response({"status": "ill", "why": "the ledger cannot be read"}, status=503)
        return web.json_response({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(TIMEOUT_S):
            figures = await self._meter.read()
        return web.Response(body=figures, headers={"Content-Type": CONTENT_TYPE_LATEST})
