"""The discord.py client: what comes in, and which use case it is for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot import texts
from bot.chats.base import answered, speaking
from bot.chats.discord.admin_commands import written
from bot.chats.discord.buttons import ActionButton
from bot.chats.discord.commands import COMMANDS
from bot.chats.discord.forms import PHOTOS, PhotosModal, PromptModal, asks_for_words, edited, filled
from bot.chats.discord.localization import Translator
from bot.chats.discord.photos import fetched, photos_of
from bot.chats.discord.replies import Answers, Interaction, Work, apologise, identity, person, whisper
from bot.chats.discord.sender import own_dm
from bot.chats.discord.sync import sync_when_changed
from bot.core.accounts import Identity, Place
from bot.core.errors import UserError
from bot.core.messages import Reply
from bot.services.studio import Studio

log = logging.getLogger(__name__)

#: A longer wait is not slept through inside discord.py: the notifier is told, and comes back.
MAX_RATE_LIMIT_WAIT_S = 30.0
#: How long a form may wait for what it is filled with: it must come within 3 s, and its language takes one.
LOOK_UP_S = 1.5
_TYPED = (discord.MessageType.default, discord.MessageType.reply)
#: Presses that draw: their card comes where the button is, as after `/generate`.
_DRAWS = ("again", "vary", "large", "draft")


class LoraCodeClient(discord.AutoShardedClient):
    """Answers interactions and DMs. `commands_mark` remembers which commands Discord was told.

    Answers to commands are for their person's eyes alone, except in their DMs. What must last, such as a
    progress card, is a message of its own: an interaction is dead after 15 minutes.

    It has as many connections as Discord asks for: from 2500 servers on one is not enough.
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
        self.answers = Answers(self, studio)
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
        await self.tree.set_translator(Translator())
        await sync_when_changed(self.tree, self._commands_mark)

    async def on_message(self, message: discord.Message) -> None:
        """Answer a DM: photos are taken like an album, words may be a prompt; else, how to begin."""
        if message.guild is not None or message.author.bot or message.type not in _TYPED:
            return
        who = identity(message.author)
        place = own_dm(message.author.id)
        async with speaking(self.studio, who):  # a message tells no locale: that of the last command counts
            uploads = await answered(fetched(photos_of(message)))
            async with self.answers.turn_of(who):
                if isinstance(uploads, Reply):
                    reply = uploads
                elif uploads:
                    reply = await answered(self.studio.add_photos(who, place, uploads))
                else:
                    reply = await answered(self._words(who, place, message.content))
                await self.answers.send_set(who, place, reply, nonce=f"re-{message.id}")

    async def on_interaction(self, interaction: Interaction) -> None:
        """Take a form that was filled in, also one that was opened before a restart."""
        form = None
        if interaction.type is discord.InteractionType.modal_submit:
            form = filled(interaction.data or {})
        if form is None:
            return
        action, words = form.action, form.words
        try:
            if action == PHOTOS:
                state = self._connection
                photos = [discord.Attachment(data=each, state=state) for each in form.files]
                await self.take_photos(interaction, photos)
                return
            await self.answer(
                interaction, lambda who, place: self._write(who, place, action, words), prefer_dm=False
            )
        except Exception as error:
            # discord.py only logs what an event raises, and the person would wait in vain.
            await self.apologise(interaction, error)

    async def take_photos(self, interaction: Interaction, photos: Sequence[discord.Attachment]) -> None:
        """Take photos that came with a command or a form."""
        await self.answer(interaction, lambda who, place: self._add_photos(who, place, photos))

    async def open_photo_form(self, interaction: Interaction) -> None:
        """Open the form for photos; whoever has not agreed to what they must be is asked that first."""
        # A form can only be the very first response, so this is looked up before it, and not for long.
        try:
            async with asyncio.timeout(LOOK_UP_S):
                question = await self.studio.consent_question(person(interaction))
        except TimeoutError:
            log.warning("a consent was not found in time; the photos will be asked about again")
            question = None
        if question is None:
            async with speaking(self.studio, person(interaction)):
                await interaction.response.send_modal(PhotosModal())
        else:
            await self.answer(interaction, lambda who, place: self.studio.train(who, place))

    async def press(self, interaction: Interaction, action: str) -> None:
        """Do what a button says."""
        try:
            if asks_for_words(action):
                await self._open_form(interaction, action)
                return
            await self.answer(
                interaction,
                lambda who, place: self.studio.press(who, place, action),
                prefer_dm=action.partition(":")[0] not in _DRAWS,
            )
        except Exception as error:
            # discord.py only logs what a dynamic button raises, and the person would wait in vain.
            await self.apologise(interaction, error)

    async def answer(self, interaction: Interaction, work: Work, prefer_dm: bool = True) -> None:
        """Acknowledge within Discord's 3 seconds, do the work, show its reply.

        `prefer_dm` is for what is private: a progress card and the results go to DMs where they are open.
        """
        await self.answers.give(interaction, work, prefer_dm)

    async def apologise(self, interaction: Interaction, error: Exception) -> None:
        """Log what broke, then tell the person."""
        async with speaking(self.studio, person(interaction)):
            sorry = texts.apology()
        await apologise(interaction, sorry, error)

    async def _open_form(self, interaction: Interaction, action: str) -> None:
        # A form can only be the very first response, so the prompt is looked up before it, and not for long.
        who, job_id = person(interaction), edited(action)
        try:
            async with asyncio.timeout(LOOK_UP_S):
                if job_id is None:
                    prompt = await self.studio.draft_text(who)
                else:
                    prompt = await self.studio.edit_text(who, job_id)
        except UserError as refusal:
            await whisper(interaction, Reply(refusal.sentence))
            return
        except TimeoutError:
            log.warning("a prompt was not found in time; its form opens empty")
            prompt = ""  # whose it is will be looked up again when the form comes back
        async with speaking(self.studio, who):
            await interaction.response.send_modal(PromptModal(action, prompt))

    async def _write(self, who: Identity, place: Place, action: str, words: str) -> Reply:
        job_id = edited(action)
        if job_id is None:
            return await self.studio.write_draft(who, place, words)
        return await self.studio.edit(who, place, job_id, words)

    async def _words(self, who: Identity, place: Place, text: str) -> Reply:
        act = written(self.studio, who, text)
        if act is not None:
            return await act
        return await self.studio.plain_text(who, place, text) or await self.studio.start(who, place)

    async def _add_photos(self, who: Identity, place: Place, photos: Sequence[discord.Attachment]) -> Reply:
        return await self.studio.add_photos(who, place, await fetched(photos))
