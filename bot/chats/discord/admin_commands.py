"""Administrators' commands. Discord shows them to those who administer a server; we look each time.

An administrator of the bot who administers no server writes them to the bot as a direct message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import discord
from discord import app_commands

from bot import texts
from bot.core.accounts import Identity
from bot.core.messages import Reply
from bot.services.studio import Studio

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

_DESCRIPTION_CHARS = 100


def written(studio: Studio, who: Identity, text: str) -> Awaitable[Reply] | None:
    """Read a direct message as a command of an administrator; None when it is none."""
    word, _, rest = text.strip().partition(" ")
    name = word.removeprefix("/")
    if word.startswith("/") and name in texts.ADMIN_COMMANDS and studio.is_admin(who):
        return studio.admin(who, name, rest)
    return None


def _command(name: str, description: str, argument: str) -> app_commands.Command[Any, ..., None]:
    async def ask(interaction: _Interaction, text: str = "") -> None:
        studio = interaction.client.studio
        await interaction.client.answer(interaction, lambda who, _: studio.admin(who, name, text))

    async def ask_alone(interaction: _Interaction) -> None:
        await ask(interaction)

    work: Callable[..., Any] = ask_alone
    if argument:
        work = app_commands.describe(text=f"{argument}, and what else belongs to it")(ask)
        work = app_commands.rename(text=argument)(work)
    command: app_commands.Command[Any, ..., None] = app_commands.Command(
        name=name,
        description=f"For administrators: {description}"[:_DESCRIPTION_CHARS],
        callback=work,
        allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    command.default_permissions = discord.Permissions(administrator=True)
    return command


ADMIN_COMMANDS = tuple(
    _command(name, description, argument) for name, (description, argument) in texts.ADMIN_COMMANDS.items()
)
