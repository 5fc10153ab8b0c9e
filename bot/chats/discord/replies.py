"""Answers interactions by Discord's rules: 3 seconds to acknowledge one, 15 minutes to speak in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import discord

from bot.chats.base import answered, speaking
from bot.chats.discord.attachments import Parcel, packed, plain
from bot.chats.discord.buttons import view_of
from bot.chats.discord.sender import NETWORK_ERRORS, Post, addressed, dm_first, in_channel, mentions, own_dm
from bot.core.accounts import Identity, Place, Platform
from bot.core.errors import ChatError
from bot.core.jobs import JobId
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)

Interaction: TypeAlias = discord.Interaction[Any]
Work: TypeAlias = Callable[[Identity, Place], Awaitable[Reply]]
LOST = (discord.HTTPException, *NETWORK_ERRORS)
#: Discord's codes of an interaction whose 3 seconds are over, and of one that was acknowledged by a try
#: whose answer was lost.
_TOO_LATE, _ACKNOWLEDGED = 10062, 40060


class Answers:
    """Acknowledges, does the work, shows its reply; the Studio is told which message shows a job or a set."""

    def __init__(self, client: discord.Client, studio: Studio) -> None:
        self._client = client
        self._studio = studio
        self._turns: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self.post = Post(client)

    async def give(self, interaction: Interaction, work: Work, prefer_dm: bool) -> None:
        """Answer a command, a form or a press; where it cannot be acknowledged, nothing is done."""
        who, place = person(interaction), self._place(interaction, prefer_dm)
        if not await _acknowledged(interaction):
            return
        async with speaking(self._studio, who):
            reply = await answered(work(who, place))
        await self._end_set(place, reply)
        if reply.pressed_copy_of is not None and interaction.message is not None:
            await self._note_copy(interaction, place, reply.pressed_copy_of, interaction.message)
        if reply.replaces and await self._replaced(interaction, place, reply):
            return
        shown = None
        if reply.card_of is not None:
            # A further one has a name of its own: Discord would give the earlier message back.
            is_further = await self._studio.has_card(reply.card_of)
            nonce = f"re-{interaction.id}" if is_further else f"card-{reply.card_of}"
            shown = await self.send(place, reply, nonce)
        if shown is not None and shown.startswith(f"{interaction.channel_id}/"):
            if not _pressed(interaction):
                await _withdraw(interaction)  # the card stands right there
            return
        await self._follow_up(interaction, reply, shown)

    def turn_of(self, who: Identity) -> asyncio.Lock:
        """Give what is held while a message of a person's is carried out and answered.

        One set is shown by one message, also when photos come at once, and by none after it became complete.
        """
        return self._turns.setdefault(who, asyncio.Lock())

    async def send_set(self, who: Identity, place: Place, reply: Reply, nonce: str) -> None:
        """Answer in DMs; a set of photos that is being collected is shown by one message, which is edited."""
        if not reply.shows_set:
            await self.send(place, reply, nonce)
            await self._end_set(place, reply)
            return
        shown = await self._studio.set_message(who, place)
        if shown is not None and await self._edited(place, shown, reply):
            return
        message_id = await self.send(place, reply, nonce)
        if message_id is not None:
            await self._studio.set_shown(who, message_id)

    async def send(self, place: Place, reply: Reply, nonce: str) -> str | None:
        """Send as a message of its own; None when it could not be."""
        try:
            message_id = await self.post.send(place, reply, nonce=nonce)
        except ChatError as error:
            log.warning("a message could not be sent: %s", error)
            return None
        if reply.card_of is not None:
            await self._studio.card_shown(reply.card_of, message_id)
        if reply.copy_of is not None:
            await self._studio.copy_shown(reply.copy_of, place, message_id)
        return message_id

    async def _end_set(self, place: Place, reply: Reply) -> None:
        if reply.ends_set is not None:
            await self._edited(place, reply.ends_set.message_id, Reply(reply.ends_set.text))

    async def _edited(self, place: Place, message_id: str, reply: Reply) -> bool:
        try:
            await self.post.edit(place, message_id, reply)
        except ChatError as error:
            log.info("the message of a set could not be edited: %s", error)
            return False
        return True

    def _place(self, interaction: Interaction, prefer_dm: bool) -> Place:
        # Where the bot is no member (a person installed it for themselves) it cannot write on its own: DMs.
        user_id, channel_id = interaction.user.id, interaction.channel_id
        if interaction.context.dm_channel or channel_id is None:
            return own_dm(user_id)
        guild_id = interaction.guild_id
        member = guild_id is not None and self._client.get_guild(guild_id) is not None
        if prefer_dm or not member or not interaction.app_permissions.view_channel:
            return dm_first(user_id, channel_id)
        return in_channel(user_id, channel_id)

    async def _replaced(self, interaction: Interaction, place: Place, reply: Reply) -> bool:
        """Make the message with the pressed button read like `reply`; False when it can no longer be."""
        message = interaction.message
        if message is None or not _pressed(interaction):
            return False
        parcel = await packed(replace(reply, files=()))
        try:
            await _edit(interaction, place, parcel, reply, message)
            return True
        except LOST as error:
            log.info("a message could not be edited through its interaction: %s", error)
        try:
            await self.post.edit(place, f"{message.channel.id}/{message.id}", reply)
            return True
        except ChatError as error:
            log.info("the message of a button is gone: %s", error)
            return False

    async def _follow_up(self, interaction: Interaction, reply: Reply, shown: str | None) -> None:
        parcel = await packed(reply if shown is None else replace(reply, pictures=(), files=()))
        try:
            said = await _say(interaction, parcel, reply)
        except LOST as error:
            log.warning("an answer did not reach its interaction: %s", error)
            if shown is None:
                late = replace(reply, card_of=None)
                await self.send(own_dm(interaction.user.id), late, nonce=f"re-{interaction.id}")
            return
        if reply.copy_of is not None:
            await self._note_copy(interaction, own_dm(interaction.user.id), reply.copy_of, said)

    async def _note_copy(
        self, interaction: Interaction, place: Place, job_id: JobId, message: discord.Message
    ) -> None:
        if message.flags.ephemeral:
            await self._studio.copy_shown(job_id, place, f"{interaction.token}/{message.id}")
        else:
            await self._studio.copy_shown(job_id, place, f"{message.channel.id}/{message.id}")


def person(interaction: Interaction) -> Identity:
    """Give whoever acted, with the language of their app."""
    return identity(interaction.user, interaction.locale.value)


def identity(user: discord.abc.User, locale: str = "") -> Identity:
    """Give the person as the rest of the bot knows them."""
    name = user.name if user.display_name == user.name else f"{user.display_name} @{user.name}"
    return Identity(Platform.DISCORD, str(user.id), name=name, locale=locale)


async def apologise(interaction: Interaction, sorry: Reply, error: Exception) -> None:
    """Log what broke, then tell the person."""
    if _expired(error):
        log.warning("an interaction was over before it was answered: %s", error)
        return  # Discord has told the person
    log.error("an interaction failed", exc_info=error)
    await whisper(interaction, sorry)


async def whisper(interaction: Interaction, reply: Reply) -> None:
    """Say something to a person alone, whether the interaction was acknowledged or not."""
    text = plain(reply.text)
    try:
        if interaction.response.is_done():
            await interaction.followup.send(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except LOST as error:
        log.warning("nor could the person be told: %s", error)


async def _acknowledged(interaction: Interaction) -> bool:
    try:
        if _pressed(interaction):
            await interaction.response.defer()  # so that the message with the button can be edited
        else:
            await interaction.response.defer(ephemeral=_alone(interaction), thinking=True)
    except LOST as error:
        if isinstance(error, discord.HTTPException):
            if error.code == _ACKNOWLEDGED:
                return True
            if not _expired(error) and error.status < 500:
                raise
        # Discord has told the person that it failed: they will ask again, and it must not be done twice.
        log.warning("an interaction could not be acknowledged, so nothing was done: %s", error)
        return False
    return True


def _expired(error: Exception) -> bool:
    if isinstance(error, discord.app_commands.CommandInvokeError):
        error = error.original
    return isinstance(error, discord.HTTPException) and error.code == _TOO_LATE


def _pressed(interaction: Interaction) -> bool:
    return interaction.type is discord.InteractionType.component


def _alone(interaction: Interaction) -> bool:
    # Where others read along, an answer is for the eyes of its person alone.
    return not interaction.context.dm_channel


async def _edit(
    interaction: Interaction, place: Place, parcel: Parcel, reply: Reply, message: discord.Message
) -> None:
    public = not message.flags.ephemeral
    await interaction.edit_original_response(
        content=addressed(str(message.channel.id), place, parcel.text) if public else parcel.text,
        attachments=parcel.files(),
        view=view_of(reply.buttons),
        allowed_mentions=mentions(place),
    )


async def _say(interaction: Interaction, parcel: Parcel, reply: Reply) -> discord.Message:
    """Say it, and give the message that has its text and pictures."""
    alone = _alone(interaction)
    said = await interaction.followup.send(
        parcel.text,
        files=parcel.files(),
        view=view_of(reply.buttons) or discord.utils.MISSING,
        ephemeral=alone,
        wait=True,
    )
    for number in range(1, len(parcel.loads)):
        await interaction.followup.send(files=parcel.files(number), ephemeral=alone)
    return said


async def _withdraw(interaction: Interaction) -> None:
    try:
        await interaction.delete_original_response()
    except LOST as error:
        log.warning("an empty answer could not be taken back: %s", error)
