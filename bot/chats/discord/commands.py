"""The slash commands: parse, call one method of the Studio, show the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.chats.discord.admin_commands import ADMIN_COMMANDS
from bot.chats.discord.generate import generate, offer_codes
from bot.chats.discord.localization import words
from bot.chats.discord.photos import photos_of
from bot.core.loras import LEAST_MORE_STEPS, MORE_STEPS, MOST_MORE_STEPS
from bot.core.photos import PHOTOS_PER_LORA

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

_PHOTO = words("discord-train-photo")


@app_commands.command(name=words("command-train"), description=words("discord-train"))
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


@app_commands.command(name=words("command-start"), description=words("discord-start"))
@app_commands.describe(word=words("discord-start-word"))
async def start(interaction: _Interaction, word: str = "") -> None:
    """Say what will happen, or take a word."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.start(who, place, word))


@app_commands.command(name=words("command-show"), description=words("discord-show"))
@app_commands.rename(number="id")
@app_commands.describe(number=words("discord-show-id"))
async def show(interaction: _Interaction, number: str) -> None:
    """Bring a result back."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.show(who, place, number))


@app_commands.command(name=words("command-export"), description=words("discord-export"))
@app_commands.describe(code=words("discord-export-code"))
@app_commands.autocomplete(code=offer_codes)
async def export(interaction: _Interaction, code: str) -> None:
    """Hand out a LoRA file."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.export(who, place, code))


@app_commands.command(name=words("command-ask"), description=words("discord-ask"))
@app_commands.describe(code=words("discord-ask-code"))
async def ask(interaction: _Interaction, code: str) -> None:
    """Ask for somebody else's LoraCode."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.ask(who, place, code))


@app_commands.command(name=words("command-report"), description=words("discord-report"))
@app_commands.describe(code=words("discord-report-code"), words=words("discord-report-words"))
async def report(interaction: _Interaction, code: str, words: str = "") -> None:
    """Report a LoraCode."""
    studio = interaction.client.studio
    await interaction.client.answer(
        interaction, lambda who, place: studio.report(who, place, f"{code} {words}")
    )


@app_commands.command(name=words("command-codes"), description=words("discord-codes"))
async def codes(interaction: _Interaction) -> None:
    """List a person's LoraCodes."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, studio.codes)


@app_commands.command(name=words("command-more"), description=words("discord-more"))
@app_commands.describe(code=words("discord-more-code"), steps=words("discord-more-steps"))
@app_commands.autocomplete(code=offer_codes)
async def more(
    interaction: _Interaction,
    code: str,
    steps: app_commands.Range[int, LEAST_MORE_STEPS, MOST_MORE_STEPS] = MORE_STEPS,
) -> None:
    """Train a LoraCode further."""
    studio = interaction.client.studio
    await interaction.client.answer(
        interaction, lambda who, place: studio.more(who, place, f"{code} {steps}")
    )


@app_commands.command(name=words("command-replace"), description=words("discord-replace"))
@app_commands.describe(code=words("discord-replace-code"), photo=words("discord-replace-photo"))
@app_commands.autocomplete(code=offer_codes)
async def replace(
    interaction: _Interaction, code: str, photo: app_commands.Range[int, 1, PHOTOS_PER_LORA]
) -> None:
    """Swap a photo of a LoraCode."""
    studio = interaction.client.studio
    await interaction.client.answer(
        interaction, lambda who, place: studio.replace_photo(who, place, f"{code} {photo}")
    )


@app_commands.command(name=words("command-queue"), description=words("discord-queue"))
async def queue(interaction: _Interaction) -> None:
    """List a person's open jobs."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.queue(who))


@app_commands.command(name=words("command-cancel"), description=words("discord-cancel"))
@app_commands.describe(code=words("discord-cancel-code"))
async def cancel(interaction: _Interaction, code: str = "") -> None:
    """Cancel a job."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.cancel(who, code))


@app_commands.command(name=words("command-link"), description=words("discord-link"))
@app_commands.describe(word=words("discord-link-word"))
async def link(interaction: _Interaction, word: str = "") -> None:
    """Show the word that joins accounts, or join by one."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, place: studio.link(who, place, word))


@app_commands.command(name=words("command-settings"), description=words("discord-settings"))
async def settings(interaction: _Interaction) -> None:
    """Show what a person set."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.settings(who))


@app_commands.command(name=words("command-privacy"), description=words("discord-privacy"))
async def privacy(interaction: _Interaction) -> None:
    """Say what is kept of a person."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.privacy(who))


@app_commands.command(name=words("command-forgetme"), description=words("discord-forgetme"))
async def forgetme(interaction: _Interaction) -> None:
    """Ask whether everything shall be deleted."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.forgetme(who))


@app_commands.command(name=words("command-help"), description=words("discord-help"))
async def help_(interaction: _Interaction) -> None:
    """List the commands."""
    studio = interaction.client.studio
    await interaction.client.answer(interaction, lambda who, _: studio.help(who))


@app_commands.context_menu(name=words("discord-menu-train"))
async def train_on_these(interaction: _Interaction, message: discord.Message) -> None:
    """Take the photos of a message that stands in a chat; Discord shows us that one message alone."""
    if photos := photos_of(message):
        await interaction.client.take_photos(interaction, photos)
    else:
        studio = interaction.client.studio
        await interaction.client.answer(interaction, lambda who, place: studio.train(who, place))


COMMANDS: tuple[app_commands.Command[Any, ..., None] | app_commands.ContextMenu, ...] = (
    start,
    train,
    generate,
    show,
    export,
    codes,
    more,
    replace,
    ask,
    queue,
    cancel,
    link,
    settings,
    report,
    privacy,
    forgetme,
    help_,
    train_on_these,
    *ADMIN_COMMANDS,
)
