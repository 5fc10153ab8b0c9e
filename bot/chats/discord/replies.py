"""Answers interactions by Discord's rules: 3 seconds to acknowledge one, 15 minutes to speak in it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import discord

from bot.chats.discord.attachments import MessageBatch, escape_text, pack_reply
from bot.chats.discord.buttons import build_view
from bot.chats.discord.sender import (
    NETWORK_ERRORS,
    DiscordMessages,
    DiscordSender,
    add_mention,
    allowed_mentions,
    channel_address,
    dm_address,
    dm_first_address,
)
from bot.chats.presenter import PhotoSetPresenter
from bot.core.accounts import ChatAddress, Identity, Platform
from bot.core.errors import ChatError
from bot.core.jobs import JobId
from bot.core.messages import Reply, Request, UseCase, split_refusals
from bot.services import Services
from bot.texts import use_language

log = logging.getLogger(__name__)

Interaction: TypeAlias = discord.Interaction[Any]
SEND_ERRORS = (discord.HTTPException, *NETWORK_ERRORS)
#: An answer that only its person sees is edited by the token of its interaction, which is good for so long.
EPHEMERAL_EDIT_PERIOD = timedelta(minutes=15)
#: Discord's codes of an interaction whose 3 seconds are over, and of one that was acknowledged by a try
#: whose answer was lost.
_UNKNOWN_INTERACTION, _ALREADY_ACKNOWLEDGED = 10062, 40060


class DiscordReplies:
    """Acknowledges an interaction, carries it out and shows the reply.

    The database stores which message shows a job or a photo set.
    """

    def __init__(self, client: discord.Client, services: Services) -> None:
        self._client = client
        self._services = services
        self._person_locks: WeakValueDictionary[Identity, asyncio.Lock] = WeakValueDictionary()
        self._presenter = PhotoSetPresenter(services)
        self.sender = DiscordSender(client)

    async def respond(self, interaction: Interaction, answer: UseCase, prefer_dm: bool) -> None:
        """Answer a command, a form or a button; where it cannot be acknowledged, nothing is done."""
        address = self._resolve_address(interaction, prefer_dm)
        if not await _acknowledge(interaction):
            return
        reply = await answer(Request(identity_from_interaction(interaction), address))
        with use_language(reply.language):
            await self._show(interaction, address, reply)

    async def _show(self, interaction: Interaction, address: ChatAddress, reply: Reply) -> None:
        await self._presenter.close_previous(reply, DiscordMessages(self.sender, address))
        if reply.pressed_result_job_id is not None and interaction.message is not None:
            await self._record_message(interaction, address, reply.pressed_result_job_id, interaction.message)
        if reply.edits_message and await self._replace_message(interaction, address, reply):
            return
        card_message_id = None
        if reply.card_job_id is not None:
            # A further one has a name of its own: Discord would give the earlier message back.
            has_card = await self._services.jobs.has_card(reply.card_job_id)
            nonce = f"re-{interaction.id}" if has_card else f"card-{reply.card_job_id}"
            *refusals, card = split_refusals(reply)
            card_message_id = await self.send(address, card, nonce)
        if card_message_id is not None and card_message_id.startswith(f"{interaction.channel_id}/"):
            if refusals:
                await self._finish_response(interaction, refusals[0], None)
            elif not _is_component(interaction):
                await _delete_original(interaction)  # the card stands right there
            return
        await self._finish_response(interaction, reply, card_message_id)

    def lock_for(self, identity: Identity) -> asyncio.Lock:
        """Return what is held while a message of a person's is carried out and answered: one by one."""
        return self._person_locks.setdefault(identity, asyncio.Lock())

    async def answer_message(
        self, identity: Identity, address: ChatAddress, reply: Reply, nonce: str
    ) -> None:
        """Answer a message in DMs, which may show the set that its person is collecting."""
        messages = DiscordMessages(self.sender, address, nonce)
        *refusals, reply = split_refusals(reply)
        for refusal in refusals:
            await self.send(address, refusal, f"{nonce}-r")
        if not reply.shows_photo_set:
            await self.send(address, reply, nonce)
            await self._presenter.close_previous(reply, messages)
            return
        try:
            await self._presenter.show(identity, address, reply, messages)
        except ChatError as error:
            log.warning("a message could not be sent: %s", error)

    async def send(self, address: ChatAddress, reply: Reply, nonce: str) -> str | None:
        """Send as a message of its own; None when it could not be."""
        try:
            message_id = await self.sender.send(address, reply, nonce=nonce)
        except ChatError as error:
            log.warning("a message could not be sent: %s", error)
            return None
        if reply.card_job_id is not None:
            await self._services.jobs.record_card(reply.card_job_id, message_id)
        if reply.result_job_id is not None:
            await self._services.results.record_copy(reply.result_job_id, address, message_id)
        return message_id

    def _resolve_address(self, interaction: Interaction, prefer_dm: bool) -> ChatAddress:
        # Where the bot is no member (a person installed it for themselves) it cannot write on its own: DMs.
        user_id, channel_id = interaction.user.id, interaction.channel_id
        if interaction.context.dm_channel or channel_id is None:
            return dm_address(user_id)
        guild_id = interaction.guild_id
        is_member = guild_id is not None and self._client.get_guild(guild_id) is not None
        if prefer_dm or not is_member or not interaction.app_permissions.view_channel:
            return dm_first_address(user_id, channel_id)
        return channel_address(user_id, channel_id)

    async def _replace_message(self, interaction: Interaction, address: ChatAddress, reply: Reply) -> bool:
        """Make the message with the pressed button read like `reply`; False when it can no longer be."""
        message = interaction.message
        if message is None or not _is_component(interaction):
            return False
        batch = await pack_reply(replace(reply, files=()))
        try:
            await _edit_original(interaction, address, batch, reply, message)
            return True
        except SEND_ERRORS as error:
            log.info("a message could not be edited through its interaction: %s", error)
        try:
            await self.sender.edit(address, f"{message.channel.id}/{message.id}", reply)
            return True
        except ChatError as error:
            log.info("the message of a button is gone: %s", error)
            return False

    async def _finish_response(
        self, interaction: Interaction, reply: Reply, card_message_id: str | None
    ) -> None:
        batch = await pack_reply(reply if card_message_id is None else replace(reply, pictures=(), files=()))
        try:
            message = await _send_followup(interaction, batch, reply)
        except SEND_ERRORS as error:
            log.warning("an answer did not reach its interaction: %s", error)
            if card_message_id is None:
                fallback_reply = replace(reply, card_job_id=None)
                await self.send(dm_address(interaction.user.id), fallback_reply, nonce=f"re-{interaction.id}")
            return
        if reply.result_job_id is not None:
            await self._record_message(
                interaction, dm_address(interaction.user.id), reply.result_job_id, message
            )

    async def _record_message(
        self, interaction: Interaction, address: ChatAddress, job_id: JobId, message: discord.Message
    ) -> None:
        if message.flags.ephemeral:
            await self._services.results.record_copy(
                job_id, address, f"{interaction.token}/{message.id}", EPHEMERAL_EDIT_PERIOD
            )
        else:
            await self._services.results.record_copy(job_id, address, f"{message.channel.id}/{message.id}")


def identity_from_interaction(interaction: Interaction) -> Identity:
    """Return whoever acted, with the language of their app."""
    return identity_from_user(interaction.user, interaction.locale.value)


def identity_from_user(user: discord.abc.User, locale: str = "") -> Identity:
    """Return the person as the rest of the bot knows them."""
    name = user.name if user.display_name == user.name else f"{user.display_name} @{user.name}"
    return Identity(Platform.DISCORD, str(user.id), name=name, locale=locale)


async def send_apology(interaction: Interaction, apology: Reply, error: Exception) -> None:
    """Log what broke, then tell the person."""
    if _is_expired(error):
        log.warning("an interaction was over before it was answered: %s", error)
        return  # Discord has told the person
    log.error("an interaction failed", exc_info=error)
    await send_ephemeral(interaction, apology)


async def send_ephemeral(interaction: Interaction, reply: Reply) -> None:
    """Say something to a person alone, whether the interaction was acknowledged or not."""
    text = escape_text(reply.text)
    try:
        if interaction.response.is_done():
            await interaction.followup.send(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except SEND_ERRORS as error:
        log.warning("nor could the person be told: %s", error)


async def _acknowledge(interaction: Interaction) -> bool:
    try:
        if _is_component(interaction):
            await interaction.response.defer()  # so that the message with the button can be edited
        else:
            await interaction.response.defer(ephemeral=_is_ephemeral(interaction), thinking=True)
    except SEND_ERRORS as error:
        if isinstance(error, discord.HTTPException):
            if error.code == _ALREADY_ACKNOWLEDGED:
                return True
            if not _is_expired(error) and error.status < 500:
                raise
        # Discord has told the person that it failed: they will ask again, and it must not be done twice.
        log.warning("an interaction could not be acknowledged, so nothing was done: %s", error)
        return False
    return True


def _is_expired(error: Exception) -> bool:
    if isinstance(error, discord.app_commands.CommandInvokeError):
        error = error.original
    return isinstance(error, discord.HTTPException) and error.code == _UNKNOWN_INTERACTION


def _is_component(interaction: Interaction) -> bool:
    return interaction.type is discord.InteractionType.component


def _is_ephemeral(interaction: Interaction) -> bool:
    # Where others read along, an answer is for the eyes of its person alone.
    return not interaction.context.dm_channel


async def _edit_original(
    interaction: Interaction,
    address: ChatAddress,
    batch: MessageBatch,
    reply: Reply,
    message: discord.Message,
) -> None:
    is_public = not message.flags.ephemeral
    await interaction.edit_original_response(
        content=add_mention(str(message.channel.id), address, batch.text) if is_public else batch.text,
        attachments=batch.open_files(),
        view=build_view(reply.buttons),
        allowed_mentions=allowed_mentions(address),
    )


async def _send_followup(interaction: Interaction, batch: MessageBatch, reply: Reply) -> discord.Message:
    """Return the page, and the message that has its text and pictures."""
    is_ephemeral = _is_ephemeral(interaction)
    message = await interaction.followup.send(
        batch.text,
        files=batch.open_files(),
        view=build_view(reply.buttons) or discord.utils.MISSING,
        ephemeral=is_ephemeral,
        wait=True,
    )
    for index in range(1, len(batch.messages)):
        try:
            await interaction.followup.send(files=batch.open_files(index), ephemeral=is_ephemeral)
        except SEND_ERRORS as error:  # to raise would have the first message sent again
            log.warning("part %d of an answer could not be sent: %s", index + 1, error)
    return message


async def _delete_original(interaction: Interaction) -> None:
    try:
        await interaction.delete_original_response()
    except SEND_ERRORS as error:
        log.warning("an empty answer could not be taken back: %s", error)
