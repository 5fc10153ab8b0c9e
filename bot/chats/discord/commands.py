"""The slash commands: parse, call one method of the Studio, show the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.chats.discord.admin_commands import ADMIN_COMMANDS
from bot.chats.discord.generate import autocomplete_codes, generate
from bot.chats.discord.localization import localized
from bot.chats.discord.photos import message_attachments
from bot.core.loras import DEFAULT_EXTRA_STEPS, MAX_EXTRA_STEPS, MIN_EXTRA_STEPS
from bot.core.photos import PHOTOS_PER_LORA

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

_PHOTO_DESCRIPTION = localized("discord-train-photo")


@app_commands.command(name=localized("command-train"), description=localized("discord-train"))
@app_commands.describe(
    photo1=_PHOTO_DESCRIPTION,
    photo2=_PHOTO_DESCRIPTION,
    photo3=_PHOTO_DESCRIPTION,
    photo4=_PHOTO_DESCRIPTION,
    photo5=_PHOTO_DESCRIPTION,
)
async def train(
    interaction: _Interaction,
    photo1: discord.Attachment | None = None,
    photo2: discord.Attachment | None = None,
    photo3: discord.Attachment | None = None,
    photo4: discord.Attachment | None = None,
    photo5: discord.Attachment | None = None,
) -> None:
    """Open the form, or take the photos that came with the command."""
    photos = [photo for photo in (photo1, photo2, photo3, photo4, photo5) if photo is not None]
    if photos:
        await interaction.client.take_photos(interaction, photos)
    else:
        await interaction.client.open_photos_modal(interaction)


@app_commands.command(name=localized("command-start"), description=localized("discord-start"))
@app_commands.describe(word=localized("discord-start-word"))
async def start(interaction: _Interaction, word: str = "") -> None:
    """Say what will happen, or take a word."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, place: services.start_chat(who, place, word))


@app_commands.command(name=localized("command-show"), description=localized("discord-show"))
@app_commands.rename(number="id")
@app_commands.describe(number=localized("discord-show-id"))
async def show(interaction: _Interaction, number: str) -> None:
    """Bring a result back."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, place: services.show_result(who, place, number))


@app_commands.command(name=localized("command-export"), description=localized("discord-export"))
@app_commands.describe(code=localized("discord-export-code"))
@app_commands.autocomplete(code=autocomplete_codes)
async def export(interaction: _Interaction, code: str) -> None:
    """Hand out a LoRA file."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, place: services.export_lora(who, place, code))


@app_commands.command(name=localized("command-ask"), description=localized("discord-ask"))
@app_commands.describe(code=localized("discord-ask-code"))
async def ask(interaction: _Interaction, code: str) -> None:
    """Ask for somebody else's LoraCode."""
    services = interaction.client.services
    await interaction.client.respond(
        interaction, lambda who, place: services.request_access(who, place, code)
    )


@app_commands.command(name=localized("command-report"), description=localized("discord-report"))
@app_commands.describe(code=localized("discord-report-code"), words=localized("discord-report-words"))
async def report(interaction: _Interaction, code: str, words: str = "") -> None:
    """Report a LoraCode."""
    services = interaction.client.services
    await interaction.client.respond(
        interaction, lambda who, place: services.report_lora(who, place, f"{code} {words}")
    )


@app_commands.command(name=localized("command-codes"), description=localized("discord-codes"))
async def codes(interaction: _Interaction) -> None:
    """List a person's LoraCodes."""
    services = interaction.client.services
    await interaction.client.respond(interaction, services.list_loras)


@app_commands.command(name=localized("command-more"), description=localized("discord-more"))
@app_commands.describe(code=localized("discord-more-code"), steps=localized("discord-more-steps"))
@app_commands.autocomplete(code=autocomplete_codes)
async def more(
    interaction: _Interaction,
    code: str,
    steps: app_commands.Range[int, MIN_EXTRA_STEPS, MAX_EXTRA_STEPS] = DEFAULT_EXTRA_STEPS,
) -> None:
    """Train a LoraCode further."""
    services = interaction.client.services
    await interaction.client.respond(
        interaction, lambda who, place: services.continue_training(who, place, f"{code} {steps}")
    )


@app_commands.command(name=localized("command-replace"), description=localized("discord-replace"))
@app_commands.describe(code=localized("discord-replace-code"), photo=localized("discord-replace-photo"))
@app_commands.autocomplete(code=autocomplete_codes)
async def replace(
    interaction: _Interaction, code: str, photo: app_commands.Range[int, 1, PHOTOS_PER_LORA]
) -> None:
    """Swap a photo of a LoraCode."""
    services = interaction.client.services
    await interaction.client.respond(
        interaction, lambda who, place: services.replace_photo(who, place, f"{code} {photo}")
    )


@app_commands.command(name=localized("command-queue"), description=localized("discord-queue"))
async def queue(interaction: _Interaction) -> None:
    """List a person's open jobs."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.show_queue(who))


@app_commands.command(name=localized("command-cancel"), description=localized("discord-cancel"))
@app_commands.describe(code=localized("discord-cancel-code"))
async def cancel(interaction: _Interaction, code: str = "") -> None:
    """Cancel a job."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.cancel_job(who, code))


@app_commands.command(name=localized("command-link"), description=localized("discord-link"))
@app_commands.describe(word=localized("discord-link-word"))
async def link(interaction: _Interaction, word: str = "") -> None:
    """Show the word that joins accounts, or join by one."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, place: services.link_accounts(who, place, word))


@app_commands.command(name=localized("command-settings"), description=localized("discord-settings"))
async def settings(interaction: _Interaction) -> None:
    """Show what a person set."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.show_settings(who))


@app_commands.command(name=localized("command-privacy"), description=localized("discord-privacy"))
async def privacy(interaction: _Interaction) -> None:
    """Say what is kept of a person."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.show_privacy(who))


@app_commands.command(name=localized("command-forgetme"), description=localized("discord-forgetme"))
async def forgetme(interaction: _Interaction) -> None:
    """Ask whether everything shall be deleted."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.ask_to_erase(who))


@app_commands.command(name=localized("command-help"), description=localized("discord-help"))
async def help_(interaction: _Interaction) -> None:
    """List the commands."""
    services = interaction.client.services
    await interaction.client.respond(interaction, lambda who, _: services.show_help(who))


@app_commands.context_menu(name=localized("discord-menu-train"))
async def train_on_message(interaction: _Interaction, message: discord.Message) -> None:
    """Take the photos of a message that stands in a chat; Discord shows us that one message alone."""
    if photos := message_attachments(message):
        await interaction.client.take_photos(interaction, photos)
    else:
        services = interaction.client.services
        await interaction.client.respond(interaction, lambda who, place: services.start_training(who, place))


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
    train_on_message,
    *ADMIN_COMMANDS,
)
