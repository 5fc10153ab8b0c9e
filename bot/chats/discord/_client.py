"""The discord.py client: what comes in, and the one way of answering it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import discord
from discord import app_commands

from bot import texts
from bot.chats.base import answered
from bot.chats.discord._buttons import ActionButton, view_of
from bot.chats.discord._commands import COMMANDS
from bot.chats.discord._post import NETWORK_ERRORS, Post, dm_first, in_channel, own_dm, plain
from bot.chats.discord._sync import sync_when_changed
from bot.domain import Identity, Place, Platform
from bot.errors import ChatError, UserError
from bot.photos import MAX_FILE_BYTES
from bot.replies import Reply, Upload
from bot.studio import Studio

log = logging.getLogger(__name__)

#: A longer wait is not slept through inside discord.py: the notifier is told, and comes back.
MAX_RATE_LIMIT_WAIT_S = 30.0
NOT_FETCHED = "Discord did not give me {name}, so I took none of these photos. Please send them again."
_Interaction: TypeAlias = discord.Interaction[Any]
_Work: TypeAlias = Callable[[Identity, Place], Awaitable[Reply]]
_TYPED = (discord.MessageType.default, discord.MessageType.reply)


class LoraCodeClient(discord.Client):
    """Answers interactions and DMs. `commands_mark` remembers which commands Discord was told.

    Answers to commands are for their person's eyes alone, except in their DMs. What must last, such as a
    progress card, is a message of its own: an interaction is dead after 15 minutes.
    """

    def __init__(self, studio: Studio, commands_mark: Path | None = None, **options: Any) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.dm_messages = True
        super().__init__(
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            max_ratelimit_timeout=MAX_RATE_LIMIT_WAIT_S,
            **options,
        )
        self.studio = studio
        self.post = Post(self)
        self._commands_mark = commands_mark
        self.tree = app_commands.CommandTree(
            self,
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=True, private_channel=True
            ),
        )
        self.tree.error(self.apologise)
        for command in COMMANDS:
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """Take up the buttons of earlier runs and tell Discord our commands."""
        self.add_dynamic_items(ActionButton)
        await sync_when_changed(self.tree, self._commands_mark)

    async def on_message(self, message: discord.Message) -> None:
        """Answer a DM: photos are taken like an album, anything else is told how to begin."""
        if message.guild is not None or message.author.bot or message.type not in _TYPED:
            return
        who = _who(message.author)
        place = own_dm(message.author.id)
        if message.attachments:
            reply = await answered(self._add_photos(who, place, message.attachments))
        else:
            reply = await answered(self.studio.start(who, place))
        await self._send(place, reply, nonce=f"re-{message.id}")

    async def take_photos(self, interaction: _Interaction, photos: Sequence[discord.Attachment]) -> None:
        """Take photos that came with a command or a form."""
        await self.answer(interaction, lambda who, place: self._add_photos(who, place, photos))

    async def press(self, interaction: _Interaction, action: str) -> None:
        """Do what a button says."""
        try:
            await self.answer(interaction, lambda who, place: self.studio.press(who, place, action))
        except Exception as error:
            # discord.py only logs what a dynamic button raises, and the person would wait in vain.
            await self.apologise(interaction, error)

    async def answer(self, interaction: _Interaction, work: _Work, prefer_dm: bool = True) -> None:
        """Acknowledge within Discord's 3 seconds, do the work, show its reply.

        `prefer_dm` is for what is private: a progress card and the results go to DMs where they are open.
        """
        who, place = _who(interaction.user), self._place(interaction, prefer_dm)
        await interaction.response.defer(ephemeral=not interaction.context.dm_channel, thinking=True)
        reply = await answered(work(who, place))
        shown = None
        if reply.card_of is not None:
            shown = await self._send(place, reply, nonce=f"card-{reply.card_of}")
        if shown is not None and shown.startswith(f"{interaction.channel_id}/"):
            await self._withdraw(interaction)  # the card stands right there
            return
        try:
            await interaction.followup.send(
                plain(reply.text), view=view_of(reply.buttons) or discord.utils.MISSING
            )
        except (discord.HTTPException, *NETWORK_ERRORS) as error:
            log.warning("an answer did not reach its interaction: %s", error)
            if shown is None:
                late = replace(reply, card_of=None)
                await self._send(own_dm(interaction.user.id), late, nonce=f"re-{interaction.id}")

    async def apologise(self, interaction: _Interaction, error: Exception) -> None:
        """Log what broke, then tell the person."""
        log.error("an interaction failed", exc_info=error)
        sorry = plain(texts.apology().text)
        try:
            if interaction.response.is_done():
                await interaction.followup.send(sorry, ephemeral=True)
            else:
                await interaction.response.send_message(sorry, ephemeral=True)
        except (discord.HTTPException, *NETWORK_ERRORS) as second:
            log.warning("nor could the person be told: %s", second)

    def _place(self, interaction: _Interaction, prefer_dm: bool) -> Place:
        # Where the bot is no member (a person installed it for themselves) it cannot write on its own: DMs.
        user_id, channel_id = interaction.user.id, interaction.channel_id
        if interaction.context.dm_channel or channel_id is None:
            return own_dm(user_id)
        member = interaction.guild_id is not None and self.get_guild(interaction.guild_id) is not None
        if prefer_dm or not member or not interaction.app_permissions.view_channel:
            return dm_first(user_id, channel_id)
        return in_channel(user_id, channel_id)

    async def _add_photos(self, who: Identity, place: Place, photos: Sequence[discord.Attachment]) -> Reply:
        # Read at once: the addresses expire.
        uploads = [await _upload(photo) for photo in photos]
        return await self.studio.add_photos(who, place, uploads)

    async def _send(self, place: Place, reply: Reply, nonce: str) -> str | None:
        """Send as a message of its own; None when it could not be."""
        try:
            message_id = await self.post.send(place, reply, nonce=nonce)
        except ChatError as error:
            log.warning("a message could not be sent: %s", error)
            return None
        if reply.card_of is not None:
            await self.studio.card_shown(reply.card_of, message_id)
        return message_id

    async def _withdraw(self, interaction: _Interaction) -> None:
        try:
            await interaction.delete_original_response()
        except (discord.HTTPException, *NETWORK_ERRORS) as error:
            log.warning("an empty answer could not be taken back: %s", error)


def _who(user: discord.abc.User) -> Identity:
    return Identity(Platform.DISCORD, str(user.id))


async def _upload(photo: discord.Attachment) -> Upload:
    if photo.size > MAX_FILE_BYTES:
        return Upload(photo.filename, None)
    try:
        return Upload(photo.filename, await photo.read())
    except (discord.HTTPException, *NETWORK_ERRORS) as error:
        log.warning("a photo could not be fetched from Discord: %s", type(error).__name__)
        raise UserError(NOT_FETCHED.format(name=photo.filename)) from error
