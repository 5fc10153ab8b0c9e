"""`/generate` with its typed options, and what Discord offers while a person fills them in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import discord
from discord import app_commands
from discord.app_commands import Range

from bot.chats.base import handle
from bot.chats.discord.localization import localized
from bot.chats.discord.replies import identity_from_interaction
from bot.core.jobs import MAX_PICTURES, GenerationParams
from bot.core.messages import MAX_SUGGESTIONS, Reply, Request, Suggestion
from bot.services.generation_options import (
    FLAGS,
    MAX_GUIDANCE,
    MAX_SEED,
    MAX_STEPS,
    MAX_STRENGTH,
    with_size,
)
from bot.texts import use_language
from gpu_worker.protocol import SAMPLERS, SHAPES

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

log = logging.getLogger(__name__)

#: What Discord takes: choices in all, and characters of each.
MAX_CHOICE_CHARS = 100
_SPEED_CHOICES = [app_commands.Choice(name=name, value=name) for name in FLAGS]
_SAMPLER_CHOICES = [app_commands.Choice(name=name, value=name) for name in SAMPLERS]


async def autocomplete_codes(interaction: _Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Offer a person's own LoraCodes; none when they cannot be looked up in time."""
    identity = identity_from_interaction(interaction)
    return await _choices_in_time(
        interaction, interaction.client.services.loras.suggest_codes(identity, current)
    )


async def autocomplete_styles(interaction: _Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Offer the styles there are."""
    with use_language(interaction.locale.value):
        return _to_choices(interaction.client.services.generation.suggest_styles(current))


async def autocomplete_sizes(interaction: _Interaction, current: str) -> list[app_commands.Choice[str]]:
    """Offer the named sizes; any other may be typed."""
    return _to_choices([Suggestion(name, name) for name in SHAPES if current.strip().lower() in name])


@app_commands.command(name=localized("command-generate"), description=localized("discord-generate"))
@app_commands.describe(
    code=localized("discord-generate-code"),
    prompt=localized("discord-generate-prompt"),
    negative=localized("discord-generate-negative"),
    style=localized("discord-generate-style"),
    size=localized("discord-generate-size"),
    count=localized("discord-generate-count"),
    best=localized("discord-generate-best"),
    seed=localized("discord-generate-seed"),
    steps=localized("discord-generate-steps"),
    guidance=localized("discord-generate-guidance"),
    strength=localized("discord-generate-strength"),
    speed=localized("discord-generate-speed"),
    sampler=localized("discord-generate-sampler"),
)
@app_commands.autocomplete(code=autocomplete_codes, style=autocomplete_styles, size=autocomplete_sizes)
@app_commands.choices(speed=_SPEED_CHOICES, sampler=_SAMPLER_CHOICES)
async def generate(
    interaction: _Interaction,
    code: str = "",
    prompt: str = "",
    negative: str = "",
    style: str = "",
    size: str = "",
    count: Range[int, 1, MAX_PICTURES] = 1,
    best: Range[int, 2, MAX_PICTURES] | None = None,
    seed: Range[int, 0, MAX_SEED] | None = None,
    steps: Range[int, 1, MAX_STEPS] | None = None,
    guidance: Range[float, 0.0, MAX_GUIDANCE] | None = None,
    strength: Range[float, 0.0, MAX_STRENGTH] | None = None,
    speed: str = "",
    sampler: str = "",
) -> None:
    """Ask for pictures; without a code or a prompt, by buttons and a form."""
    params = GenerationParams(
        prompt=prompt,
        negative=negative,
        style=style,
        count=count if best is None else best,
        best=best is not None,
        seed=seed,
        steps=steps,
        guidance=guidance,
        strength=strength,
        sampler=sampler,
        is_fast=speed == "fast" or not (speed or steps or sampler),
    )

    services = interaction.client.services

    async def generate_from_options(request: Request) -> Reply:
        sized_params = with_size(params, size.strip(), option="size") if size.strip() else params
        request = replace(request, text=code, params=sized_params)
        return await services.drafts.generate_from_options(request)

    await interaction.client.respond(
        interaction,
        lambda request: handle(services, generate_from_options, replace(request, command="generate")),
        prefer_dm=False,
    )


async def _choices_in_time(
    interaction: _Interaction, lookup: Awaitable[list[Suggestion]]
) -> list[app_commands.Choice[str]]:
    try:
        async with asyncio.timeout(interaction.client.timeouts.choices_s):
            return _to_choices(await lookup)
    except TimeoutError:
        log.warning("offers were not found in time")
        return []


def _to_choices(choices: Sequence[Suggestion]) -> list[app_commands.Choice[str]]:
    short_choices = [each for each in choices if len(each.value) <= MAX_CHOICE_CHARS]
    return [
        app_commands.Choice(name=each.label[:MAX_CHOICE_CHARS], value=each.value)
        for each in short_choices[:MAX_SUGGESTIONS]
    ]
