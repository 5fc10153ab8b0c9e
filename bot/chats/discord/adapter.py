"""The platform Discord, as the rest of the bot sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import discord
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from bot.chats.discord.attachments import MAX_FILE_BYTES
from bot.chats.discord.client import LoraCodeClient
from bot.chats.discord.sender import BUSY_RETRY_S, NETWORK_ERRORS, DiscordSender
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, SettingsError
from bot.core.messages import Reply
from bot.core.retry import Sleep
from bot.services import Services

log = logging.getLogger(__name__)

INITIAL_RETRY_S = 5.0
MAX_RETRY_S = 300.0
#: What a try to connect ends with while Discord is down, or there is no network.
_CONNECT_ERRORS = (discord.HTTPException, discord.GatewayNotFound, discord.RateLimited, *NETWORK_ERRORS)
#: Gateway close code of a token that is not, or no longer, valid.
_AUTHENTICATION_FAILED = 4004


class DiscordAdapter:
    """Connects with `token`, answers people through `studio`, and brings them messages.

    `commands_mark` is a file of ours that remembers which commands Discord was told. A client that was
    closed cannot be used again, so each try to connect takes one from `new_client`.
    """

    platform = Platform.DISCORD
    max_file_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        token: str,
        services: Services,
        commands_hash_path: Path | None = None,
        client_factory: Callable[[Services, Path | None], LoraCodeClient] = LoraCodeClient,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._token = token
        self._create_client: Callable[[], LoraCodeClient] = lambda: client_factory(
            services, commands_hash_path
        )
        self._sleep = sleep
        self.client = self._create_client()

    async def run(self) -> None:
        """Stay connected until cancelled. Raise SettingsError when Discord refuses the token."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_CONNECT_ERRORS),
            wait=wait_exponential(multiplier=INITIAL_RETRY_S, max=MAX_RETRY_S),
            before_sleep=_log_connect_error,
            sleep=self._sleep,
        )
        await retrying(self._run_client)

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Send a new message; the id is `<channel id>/<message id>`, so that it can be found again."""
        return await self._get_sender().send(address, reply, nonce=nonce)

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Make an earlier message read like `reply`."""
        await self._get_sender().edit(address, message_id, reply)
        return message_id

    async def _run_client(self) -> None:
        """Run the client until it is closed."""
        if self.client.is_closed():
            self.client = self._create_client()
        try:
            async with self.client:
                await self.client.start(self._token)
        except (discord.LoginFailure, discord.ConnectionClosed) as error:
            if isinstance(error, discord.ConnectionClosed) and error.code != _AUTHENTICATION_FAILED:
                raise
            raise SettingsError(
                "DISCORD_BOT_TOKEN was refused by Discord; copy it again from your application's Bot page."
            ) from None

    def _get_sender(self) -> DiscordSender:
        if not self.client.is_ready():
            raise ChatBusy("Discord is not connected yet", BUSY_RETRY_S)
        return self.client.replies.sender


def _log_connect_error(state: RetryCallState) -> None:
    # The class only: an error of the network layer may quote the request with its headers.
    error = None if state.outcome is None else state.outcome.exception()
    log.warning(
        "Discord cannot be reached; the next try is in %.0f s (%s)",
        state.upcoming_sleep,
        type(error).__name__,
    )
