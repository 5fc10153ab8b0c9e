"""The slash commands: each command of the registry with its arguments as options.

`/train` takes photos and `/generate` has typed options: these two, and the menu, are written by hand.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.chats.commands import COMMANDS, Argument, Command
from bot.chats.discord.admin_commands import build_admin_command
from bot.chats.discord.generate import autocomplete_codes, generate
from bot.chats.discord.localization import localized
from bot.chats.discord.photos import message_attachments

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

_PHOTO_DESCRIPTION = localized("discord-train-photo")


TRAIN = next(command for command in COMMANDS if command.name == "train")


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


@app_commands.context_menu(name=localized("discord-menu-train"))
async def train_on_message(interaction: _Interaction, message: discord.Message) -> None:
    """Take the photos of a message that stands in a chat; Discord shows us that one message alone."""
    if photos := message_attachments(message):
        await interaction.client.take_photos(interaction, photos)
    else:
        await interaction.client.run_command(interaction, TRAIN)


def _build_command(command: Command) -> app_commands.Command[Any, ..., None]:
    """Return the slash command of a command: its arguments become options."""

    async def run(interaction: _Interaction, **options: str | int) -> None:
        values = [str(options[argument.name]) for argument in command.arguments]
        await interaction.client.run_command(interaction, command, " ".join(values))

    # discord.py reads the options from the signature.
    parameters = [inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [_build_option(argument) for argument in command.arguments]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    descriptions = {
        argument.name: localized(f"discord-{command.name}-{argument.name}") for argument in command.arguments
    }
    callback = app_commands.describe(**descriptions)(run)
    if any(argument.suggests_codes for argument in command.arguments):
        callback = app_commands.autocomplete(code=autocomplete_codes)(callback)
    return app_commands.Command(
        name=localized(f"command-{command.name}"),
        description=localized(f"discord-{command.name}"),
        callback=callback,
    )


def _build_option(argument: Argument) -> inspect.Parameter:
    option_type: Any = str
    if argument.number_range is not None:
        option_type = app_commands.Range[int, argument.number_range[0], argument.number_range[1]]
    default: Any = inspect.Parameter.empty
    if not argument.is_required:
        default = "" if argument.default is None else argument.default
    return inspect.Parameter(
        argument.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option_type
    )


def build_commands() -> list[app_commands.Command[Any, ..., None] | app_commands.ContextMenu]:
    """Return all that Discord is told: every command, and the entry of its menu *Apps*."""
    by_hand: dict[str, app_commands.Command[Any, ..., None]] = {"train": train, "generate": generate}
    slash_commands = [
        build_admin_command(command)
        if command.is_admin
        else by_hand.get(command.name) or _build_command(command)
        for command in COMMANDS
    ]
    return [*slash_commands, train_on_message]
