"""The platform Discord, as the rest of the bot sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import discord

from bot.chats.discord.attachments import MAX_FILE_BYTES
from bot.chats.discord.client import LoraCodeClient
from bot.chats.discord.sender import BUSY_RETRY_S, NETWORK_ERRORS, DiscordSender
from bot.core.accounts import ChatAddress, Platform
from bot.core.errors import ChatBusy, SettingsError
from bot.core.messages import Reply
from bot.services import Services

log = logging.getLogger(__name__)

REFUSED_SENTENCE = (
    "DISCORD_BOT_TOKEN was refused by Discord; copy it again from the Bot page of your application."
)
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
        initial_retry_s: float = INITIAL_RETRY_S,
    ) -> None:
        self._token = token
        self._create_client: Callable[[], LoraCodeClient] = lambda: client_factory(
            services, commands_hash_path
        )
        self._initial_retry_s = initial_retry_s
        self.client = self._create_client()

    async def run(self) -> None:
        """Stay connected until cancelled; SettingsError when Discord refuses the token."""
        retry_s = self._initial_retry_s
        while not await self._run_client():
            log.warning("Discord cannot be reached; the next try is in %.0f s", retry_s)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)
            self.client = self._create_client()

    async def send(self, address: ChatAddress, reply: Reply, *, nonce: str) -> str:
        """Send a new message; the id is `<channel id>/<message id>`, so that it can be found again."""
        return await self._get_sender().send(address, reply, nonce=nonce)

    async def edit(self, address: ChatAddress, message_id: str, reply: Reply) -> str:
        """Make an earlier message read like `reply`."""
        await self._get_sender().edit(address, message_id, reply)
        return message_id

    async def _run_client(self) -> bool:
        """Run the client until it is closed; False when Discord could not be reached."""
        try:
            async with self.client:
                await self.client.start(self._token)
        except discord.LoginFailure:
            raise SettingsError(REFUSED_SENTENCE) from None
        except discord.ConnectionClosed as closed:
            if closed.code == _AUTHENTICATION_FAILED:
                raise SettingsError(REFUSED_SENTENCE) from None
            raise
        except _CONNECT_ERRORS as error:
            # The class only: an error of the network layer may quote the request with its headers.
            log.warning("connecting to Discord failed: %s", type(error).__name__)
            return False
        return True

    def _get_sender(self) -> DiscordSender:
        if not self.client.is_ready():
            raise ChatBusy("Discord is not connected yet", BUSY_RETRY_S)
        return self.client.replies.sender
