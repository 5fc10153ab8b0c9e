"""Administrators' commands. Discord shows them to those who administer a server; we look each time.

An administrator of the bot who administers no server writes them to the bot as a direct message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot.core.accounts import Identity
from bot.core.messages import Reply
from bot.services import Services
from bot.texts import admin as admin_texts

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

MAX_DESCRIPTION_CHARS = 100


def parse_admin_command(services: Services, identity: Identity, text: str) -> Awaitable[Reply] | None:
    """Read a direct message as a command of an administrator; None when it is none."""
    command, _, arguments = text.strip().partition(" ")
    name = command.removeprefix("/")
    if command.startswith("/") and name in admin_texts.ADMIN_COMMANDS and services.is_admin(identity):
        return services.run_admin_command(identity, name, arguments)
    return None


def _build_command(name: str, description: str, argument: str) -> app_commands.Command[Any, ..., None]:
    async def run_with_argument(interaction: _Interaction, text: str = "") -> None:
        services = interaction.client.services
        await interaction.client.respond(
            interaction, lambda who, _: services.run_admin_command(who, name, text)
        )

    async def run_without_argument(interaction: _Interaction) -> None:
        await run_with_argument(interaction)

    callback: Callable[..., Any] = run_without_argument
    if argument:
        callback = app_commands.describe(text=f"{argument}, and what else belongs to it")(run_with_argument)
        callback = app_commands.rename(text=argument)(callback)
    command: app_commands.Command[Any, ..., None] = app_commands.Command(
        name=name,
        description=f"For administrators: {description}"[:MAX_DESCRIPTION_CHARS],
        callback=callback,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    command.default_permissions = discord.Permissions(administrator=True)
    return command


ADMIN_COMMANDS = tuple(
    _build_command(name, description, argument)
    for name, (description, argument) in admin_texts.ADMIN_COMMANDS.items()
)
