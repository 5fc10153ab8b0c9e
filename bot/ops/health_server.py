"""Answers who asks how the bot is doing: `/healthz` and `/metrics`, on a port that a setting opens."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from bot.core.addresses import ListenAddress
from bot.core.errors import SettingsError
from bot.ops.metrics import MetricsExporter

log = logging.getLogger(__name__)

#: An answer that takes longer is no good one: orchestrators wait a few seconds.
REQUEST_TIMEOUT_S = 5.0


class HealthServer:
    """A small web server. It takes nothing, and tells numbers only."""

    def __init__(self, exporter: MetricsExporter, listen_address: ListenAddress) -> None:
        self._exporter = exporter
        self._listen_address = listen_address
        #: The port it listens on, once it does.
        self.port = 0

    async def run(self) -> None:
        """Answer until cancelled; SettingsError when the port cannot be had."""
        app = web.Application()
        app.add_routes([web.get("/healthz", self._handle_health), web.get("/metrics", self._handle_metrics)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._listen_address.host, self._listen_address.port)
            try:
                await site.start()
            except OSError as error:
                raise SettingsError(
                    f"METRICS_LISTEN: {self._listen_address} cannot be listened on "
                    f"({error.strerror or error})."
                ) from error
            self.port = runner.addresses[0][1]
            log.info("/healthz and /metrics are answered on %s:%d", self._listen_address.host, self.port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _handle_health(self, request: web.Request) -> web.Response:
        """Return whether the bot is well: it answers, and its database can be read."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._exporter.check_database()
        except Exception as error:  # whatever it is: who asks is to restart us, or to tell somebody
            log.warning("the database cannot be read: %s", type(error).__name__)
            return web.json_response({"status": "ill", "why": "the database cannot be read"}, status=503)
        return web.json_response({"status": "ok"})

    async def _handle_metrics(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            body = await self._exporter.export()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
