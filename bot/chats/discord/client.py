"""The discord.py client: what comes in, and which use case it is for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot.chats.base import LANGUAGE_TIMEOUT_S, enter, handle, handle_action, handle_command, use_language_of
from bot.chats.commands import Command
from bot.chats.discord.buttons import ActionButton
from bot.chats.discord.commands import TRAIN, build_commands
from bot.chats.discord.forms import (
    PHOTOS_ACTION,
    PhotosModal,
    PromptModal,
    opens_prompt_modal,
    parse_edited_job_id,
    parse_submission,
)
from bot.chats.discord.localization import CommandTranslator
from bot.chats.discord.photos import fetch_uploads, message_attachments
from bot.chats.discord.replies import (
    DiscordReplies,
    Interaction,
    identity_from_interaction,
    identity_from_user,
    send_apology,
    send_ephemeral,
)
from bot.chats.discord.sender import dm_address
from bot.chats.discord.sync import sync_commands
from bot.chats.messages import (
    RefusedMessages,
    answer_edit,
    fetch_and_add_photos,
    handle_message,
    handle_photos,
)
from bot.core.errors import UserError
from bot.core.messages import Reply, Request, UseCase
from bot.services import Services
from bot.services.access import AccessLevel
from bot.texts import translate, use_language

log = logging.getLogger(__name__)

#: A longer wait is not slept through inside discord.py: the notifier is told, and comes back.
MAX_RATE_LIMIT_WAIT_S = 30.0
_TEXT_MESSAGE_TYPES = (discord.MessageType.default, discord.MessageType.reply)
#: Presses that draw: their card comes where the button is, as after `/generate`.
_GENERATE_ACTIONS = ("again", "speed", "vary", "large", "draft")


@dataclass(frozen=True)
class LookupTimeouts:
    """How long Discord's forms and offers, which must come within 3 s, may wait for what they show."""

    form_s: float = 1.5
    language_s: float = LANGUAGE_TIMEOUT_S  #: after the form's
    choices_s: float = 2.0


class LoraCodeClient(discord.AutoShardedClient):
    """Answers interactions and DMs. `commands_mark` remembers which commands Discord was told.

    Answers to commands are for their person's eyes alone, except in their DMs. What must last, such as a
    progress card, is a message of its own: an interaction is dead after 15 minutes.

    It has as many connections as Discord asks for: from 2500 servers on one is not enough.
    """

    def __init__(self, services: Services, commands_hash_path: Path | None = None, **options: Any) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.dm_messages = True
        super().__init__(
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            max_ratelimit_timeout=MAX_RATE_LIMIT_WAIT_S,
            **options,
        )
        self.services = services
        self.timeouts = LookupTimeouts()
        self.replies = DiscordReplies(self, services)
        self._refused = RefusedMessages()
        self._commands_hash_path = commands_hash_path
        self.tree = app_commands.CommandTree(
            self,
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(
                guild=True, dm_channel=True, private_channel=True
            ),
        )
        self.tree.error(self.handle_error)
        for command in build_commands():
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """Take up the buttons of earlier runs and tell Discord our commands."""
        self.add_dynamic_items(ActionButton)
        await self.tree.set_translator(CommandTranslator())
        await sync_commands(self.tree, self._commands_hash_path)

    async def on_message(self, message: discord.Message) -> None:
        """Answer a DM: photos are taken like an album, words may be a prompt; else, how to begin."""
        if message.guild is not None or message.author.bot or message.type not in _TEXT_MESSAGE_TYPES:
            return
        # A message tells no locale: that of the last command counts.
        identity = identity_from_user(message.author)
        request = Request(
            identity,
            dm_address(message.author.id),
            text=message.content,
            replied_message_id=_replied_message_id(message),
        )
        attachments = message_attachments(message)
        async with self.replies.lock_for(identity):
            if attachments:
                reply = await handle_photos(self.services, request, partial(fetch_uploads, attachments))
            elif message.content:
                reply = await handle_message(self.services, request)
                self._refused.note(request.address, str(message.id), reply)
            else:
                reply = await handle(self.services, _refuse_message, request, AccessLevel.ANYBODY)
            with use_language(reply.language):
                await self.replies.answer_message(
                    request.identity, request.address, reply, f"re-{message.id}"
                )

    async def on_raw_message_edit(self, edited: discord.RawMessageUpdateEvent) -> None:
        """Carry out a DM that was refused before it was edited; of another one, say that it stands."""
        message = edited.message
        is_written = message.edited_at is not None and message.type in _TEXT_MESSAGE_TYPES
        if message.guild is not None or message.author.bot or not is_written:
            return  # such as one whose link was looked up
        identity, address = identity_from_user(message.author), dm_address(message.author.id)
        if self._refused.take(address, str(message.id)):
            await self.on_message(message)
            return
        async with self.replies.lock_for(identity):
            reply = await answer_edit(self.services, Request(identity, address))
            with use_language(reply.language):
                await self.replies.send(address, reply, f"re-{message.id}-e")

    async def on_interaction(self, interaction: Interaction) -> None:
        """Take a form that was filled in, also one that was opened before a restart."""
        submission = None
        if interaction.type is discord.InteractionType.modal_submit:
            submission = parse_submission(interaction.data or {})
        if submission is None:
            return
        action, prompt = submission.action, submission.prompt
        try:
            if action == PHOTOS_ACTION:
                state = self._connection
                photos = [discord.Attachment(data=each, state=state) for each in submission.attachments]
                await self.take_photos(interaction, photos)
                return
            await self.respond(
                interaction,
                lambda request: self._submit_prompt(replace(request, text=prompt), action),
                prefer_dm=False,
            )
        except Exception as error:
            # discord.py only logs what an event raises, and the person would wait in vain.
            await self.handle_error(interaction, error)

    async def take_photos(self, interaction: Interaction, photos: Sequence[discord.Attachment]) -> None:
        """Take photos that came with a command or a form."""
        await self.respond(interaction, lambda request: self._add_photos(request, photos))

    async def open_photos_modal(self, interaction: Interaction) -> None:
        """Open the form for photos; whoever has not agreed to what they must be is asked that first."""
        # A form can only be the very first response, so this is looked up before it, and not for long.
        identity = identity_from_interaction(interaction)
        request = Request(identity, identity.private_address)
        try:
            async with asyncio.timeout(self.timeouts.form_s), enter(self.services, request) as entered:
                needs_answer = self.services.photo_sets.needs_consent(entered)
        except UserError:
            needs_answer = True
        except TimeoutError:
            log.warning("a consent was not found in time; the photos will be asked about again")
            needs_answer = False
        if needs_answer:
            await self.run_command(interaction, TRAIN)
        else:
            async with use_language_of(self.services, request.identity, self.timeouts.language_s):
                await interaction.response.send_modal(PhotosModal())

    async def run_command(self, interaction: Interaction, command: Command, text: str = "") -> None:
        """Answer a command."""
        await self.respond(
            interaction,
            lambda request: handle_command(self.services, command, replace(request, text=text)),
        )

    async def press(self, interaction: Interaction, action: str) -> None:
        """Do what a button says."""
        try:
            if opens_prompt_modal(action):
                await self._open_prompt_modal(interaction, action)
                return
            await self.respond(
                interaction,
                lambda request: handle_action(self.services, action, request),
                prefer_dm=action.partition(":")[0] not in _GENERATE_ACTIONS,
            )
        except Exception as error:
            # discord.py only logs what a dynamic button raises, and the person would wait in vain.
            await self.handle_error(interaction, error)

    async def respond(self, interaction: Interaction, answer: UseCase, prefer_dm: bool = True) -> None:
        """Acknowledge within Discord's 3 seconds, carry out what is asked for, show the reply.

        `prefer_dm` is for what is private: a progress card and the results go to DMs where they are open.
        """
        await self.replies.respond(interaction, answer, prefer_dm)

    async def handle_error(self, interaction: Interaction, error: Exception) -> None:
        """Log what broke, then tell the person."""
        async with use_language_of(self.services, identity_from_interaction(interaction)):
            apology = Reply(translate("apology"))
        await send_apology(interaction, apology, error)

    async def _open_prompt_modal(self, interaction: Interaction, action: str) -> None:
        # A form can only be the very first response, so the prompt is looked up before it, and not for long.
        identity, job_id = identity_from_interaction(interaction), parse_edited_job_id(action)
        request = Request(identity, identity.private_address, arguments=(str(job_id),))
        try:
            async with asyncio.timeout(self.timeouts.form_s), enter(self.services, request) as entered:
                if job_id is None:
                    prompt = await self.services.drafts.get_prompt(entered)
                else:
                    prompt = await self.services.generation.get_prompt(entered)
        except UserError as error:
            await send_ephemeral(interaction, Reply(error.message))
            return
        except TimeoutError:
            log.warning("a prompt was not found in time; its form opens empty")
            prompt = ""  # whose it is will be looked up again when the form comes back
        async with use_language_of(self.services, identity, self.timeouts.language_s):
            await interaction.response.send_modal(PromptModal(action, prompt))

    async def _submit_prompt(self, request: Request, action: str) -> Reply:
        job_id = parse_edited_job_id(action)
        if job_id is None:
            return await handle(self.services, self.services.drafts.generate_draft, request)
        request = replace(request, arguments=(str(job_id),))
        return await handle(self.services, self.services.generation.generate_edited, request)

    async def _add_photos(self, request: Request, photos: Sequence[discord.Attachment]) -> Reply:
        add_photos = partial(fetch_and_add_photos, self.services, get_uploads=partial(fetch_uploads, photos))
        return await handle(self.services, add_photos, request)


async def _refuse_message(request: Request) -> Reply:
    return Reply(translate("cannot-use"))


def _replied_message_id(message: discord.Message) -> str:
    """Return the message that a DM answers, as its place and number; empty where it answers none."""
    reference = message.reference
    if message.type is not discord.MessageType.reply or reference is None or reference.message_id is None:
        return ""
    return f"{reference.channel_id}/{reference.message_id}"
