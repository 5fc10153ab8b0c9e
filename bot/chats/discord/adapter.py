"""The platform Discord, as the rest of the bot sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import discord

from bot.chats.discord.attachments import MAX_FILE_BYTES
from bot.chats.discord.client import LoraCodeClient
from bot.chats.discord.sender import BUSY_PAUSE_S, NETWORK_ERRORS, Post
from bot.core.accounts import Place, Platform
from bot.core.errors import ChatBusy, SettingsError
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)

REFUSED = "DISCORD_BOT_TOKEN was refused by Discord; copy it again from the Bot page of your application."
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
#: What a try to connect ends with while Discord is down, or there is no network.
_OUT_OF_REACH = (discord.HTTPException, discord.GatewayNotFound, discord.RateLimited, *NETWORK_ERRORS)
#: Gateway close code of a token that is not, or no longer, valid.
_TOKEN_REFUSED = 4004


class DiscordChat:
    """Connects with `token`, answers people through `studio`, and brings them messages.

    `commands_mark` is a file of ours that remembers which commands Discord was told. A client that was
    closed cannot be used again, so each try to connect takes one from `new_client`.
    """

    platform = Platform.DISCORD
    max_file_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        token: str,
        studio: Studio,
        commands_mark: Path | None = None,
        new_client: Callable[[Studio, Path | None], LoraCodeClient] = LoraCodeClient,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._token = token
        self._new_client: Callable[[], LoraCodeClient] = lambda: new_client(studio, commands_mark)
        self._first_pause_s = first_pause_s
        self.client = self._new_client()

    async def run(self) -> None:
        """Stay connected until cancelled; SettingsError when Discord refuses the token."""
        pause_s = self._first_pause_s
        while not await self._connected():
            log.warning("Discord cannot be reached; the next try is in %.0f s", pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self.client = self._new_client()

    async def send(self, place: Place, reply: Reply, *, nonce: str) -> str:
        """Send a new message; the id is `<channel id>/<message id>`, so that it can be found again."""
        return await self._post().send(place, reply, nonce=nonce)

    async def edit(self, place: Place, message_id: str, reply: Reply) -> str:
        """Make an earlier message read like `reply`."""
        await self._post().edit(place, message_id, reply)
        return message_id

    async def _connected(self) -> bool:
        """Run the client until it is closed; False when Discord could not be reached."""
        try:
            async with self.client:
                await self.client.start(self._token)
        except discord.LoginFailure:
            raise SettingsError(REFUSED) from None
        except discord.ConnectionClosed as closed:
            if closed.code == _TOKEN_REFUSED:
                raise SettingsError(REFUSED) from None
            raise
        except _OUT_OF_REACH as error:
            # The class only: an error of the network layer may quote the request with its headers.
            log.warning("connecting to Discord failed: %s", type(error).__name__)
            return False
        return True

    def _post(self) -> Post:
        if not self.client.is_ready():
            raise ChatBusy("Discord is not connected yet", BUSY_PAUSE_S)
        return self.client.answers.post
