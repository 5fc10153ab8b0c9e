"""Administrators' commands. Discord shows them to those who administer a server; we look each time.

An administrator of the bot who administers no server writes them to the bot as a direct message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.chats.commands import Command
from bot.texts.admin.commands import ADMIN_COMMANDS, describe_argument

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

MAX_DESCRIPTION_CHARS = 100


def build_admin_command(command: Command) -> app_commands.Command[Any, ..., None]:
    """Return the slash command of an administrators' command."""
    description, argument = ADMIN_COMMANDS[command.name]

    async def run_with_argument(interaction: _Interaction, text: str = "") -> None:
        await interaction.client.run_command(interaction, command, text)

    async def run_without_argument(interaction: _Interaction) -> None:
        await run_with_argument(interaction)

    callback: Callable[..., Any] = run_without_argument
    if argument:
        callback = app_commands.describe(text=describe_argument(argument))(run_with_argument)
        callback = app_commands.rename(text=argument)(callback)
    slash_command: app_commands.Command[Any, ..., None] = app_commands.Command(
        name=command.name,
        description=f"For administrators: {description}"[:MAX_DESCRIPTION_CHARS],
        callback=callback,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    slash_command.default_permissions = discord.Permissions(administrator=True)
    return slash_command
