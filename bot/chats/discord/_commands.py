"""The slash commands: parse, call one method of the Studio, show the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.chats.discord._admin import ADMIN_COMMANDS
from bot.chats.discord._generate import generate, offer_codes

if TYPE_CHECKING:
    from bot.chats.discord._client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

_PHOTO = "Only if the form does not open for you: a photo"


@app_commands.command(description="Train on five photos of one person; opens a form for them")
@app_commands.describe(photo1=_PHOTO, photo2=_PHOTO, photo3=_PHOTO, photo4=_PHOTO, photo5=_PHOTO)
async def train(
    interaction: _Interaction,
    photo1: discord.Attachment | None = None,
    photo2: discord.Attachment | None = None,
    photo3: discord.Attachment | None = None,
    photo4: discord.Attachment | None = None,
    photo5: discord.Attachment | None = None,
) -> None:
    """Open the form, or take the photos that came with the command."""
    given = [photo for photo in (photo1, photo2, photo3, photo4, photo5) if photo is not None]
    if given:
        await interaction.client.take_photos(interaction, given)
    else:
        await interaction.client.open_photo_form(interaction)


@app_commands.command(description="What this bot does, and what photos it wants")
@app_commands.describe(word="A word you were given, if you were")
async def start(interaction: _Interaction, word: str = "") -> None:
    """Say what will happen, or take a word."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.start(who, place, word))


@app_commands.command(description="Bring one of your results back, with its pictures and buttons")
@app_commands.rename(number="id")
@app_commands.describe(number="The number in the result's text, such as #123")
async def show(interaction: _Interaction, number: str) -> None:
    """Bring a result back."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.show(who, place, number))


@app_commands.command(description="The file of one of your LoraCodes, for AUTOMATIC1111 and ComfyUI")
@app_commands.describe(code="Your LoraCode: eight digits")
@app_commands.autocomplete(code=offer_codes)
async def export(interaction: _Interaction, code: str) -> None:
    """Hand out a LoRA file."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.export(who, place, code))


@app_commands.command(description="Ask the owner of a LoraCode whether you may draw with it")
@app_commands.describe(code="The LoraCode, or the word of an invitation: share_…")
async def ask(interaction: _Interaction, code: str) -> None:
    """Ask for somebody else's LoraCode."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.ask(who, place, code))


@app_commands.command(description="Tell the people who run this bot about a LoraCode")
@app_commands.describe(code="The LoraCode", words="What is wrong with it")
async def report(interaction: _Interaction, code: str, words: str = "") -> None:
    """Report a LoraCode."""
    studio = interaction.client.studio
    await interaction.client.answer(
        interaction, lambda who, place: studio.report(who, place, f"{code} {words}")
    )


@app_commands.command(description="Your LoraCodes")
async def codes(interaction: _Interaction) -> None:
    """List a person's LoraCodes."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, studio.codes)


@app_commands.command(description="What of yours is running or in line")
async def queue(interaction: _Interaction) -> None:
    """List a person's open jobs."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.queue(who))


@app_commands.command(description="Stop your newest job, or that of a LoraCode")
@app_commands.describe(code="Only the job of this LoraCode")
async def cancel(interaction: _Interaction, code: str = "") -> None:
    """Cancel a job."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.cancel(who, code))


@app_commands.command(description="Use the same LoraCodes on another platform")
@app_commands.describe(word="The word I showed you on the other platform; leave it out to get one")
async def link(interaction: _Interaction, word: str = "") -> None:
    """Show the word that joins accounts, or join by one."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.link(who, place, word))


@app_commands.command(description="Size, style and notices where you say nothing")
async def settings(interaction: _Interaction) -> None:
    """Show what a person set."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.settings(who))


@app_commands.command(description="What I keep of you, and how long")
async def privacy(interaction: _Interaction) -> None:
    """Say what is kept of a person."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.privacy(who))


@app_commands.command(description="Delete everything of yours")
async def forgetme(interaction: _Interaction) -> None:
    """Ask whether everything shall be deleted."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.forgetme(who))


@app_commands.command(name="help", description="What I can do")
async def help_(interaction: _Interaction) -> None:
    """List the commands."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.help(who))


COMMANDS: tuple[app_commands.Command[Any, ..., None], ...] = (
    start,
    train,
    generate,
    show,
    export,
    codes,
    ask,
    queue,
    cancel,
    link,
    settings,
    report,
    privacy,
    forgetme,
    help_,
    *ADMIN_COMMANDS,
)
