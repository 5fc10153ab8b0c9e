"""`/generate` with its typed options, and what Discord offers while a person fills them in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import discord
from discord import app_commands
from discord.app_commands import Range

from bot import texts
from bot.chats.discord.localization import words
from bot.chats.discord.replies import person
from bot.core.accounts import Identity, Place
from bot.core.jobs import MAX_PICTURES, GenerateWish
from bot.core.messages import Choice, Reply
from bot.services.generation_options import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, MAX_STRENGTH, sized
from gpu_worker.protocol import SAMPLERS, SHAPES

if TYPE_CHECKING:
    from bot.chats.discord.client import LoraCodeClient

    _Interaction: TypeAlias = discord.Interaction[LoraCodeClient]

log = logging.getLogger(__name__)

#: Offers must come within 3 s.
OFFER_S = 2.0
#: What Discord takes: choices in all, and characters of each.
MAX_CHOICES, MAX_CHOICE_CHARS = 25, 100
_SAMPLER_CHOICES = [app_commands.Choice(name=name, value=name) for name in SAMPLERS]


async def offer_codes(interaction: _Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """Offer a person's own LoraCodes; none when they cannot be looked up in time."""
    return await _in_time(interaction.client.studio.codes_like(person(interaction), typed))


async def offer_styles(interaction: _Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """Offer the styles there are."""
    with texts.use_language(interaction.locale.value):
        return _choices(interaction.client.studio.styles_like(typed))


async def offer_sizes(interaction: _Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """Offer the named sizes; any other may be typed."""
    return _choices([Choice(name, name) for name in SHAPES if typed.strip().lower() in name])


@app_commands.command(name=words("command-generate"), description=words("discord-generate"))
@app_commands.describe(
    code=words("discord-generate-code"),
    prompt=words("discord-generate-prompt"),
    negative=words("discord-generate-negative"),
    style=words("discord-generate-style"),
    size=words("discord-generate-size"),
    count=words("discord-generate-count"),
    best=words("discord-generate-best"),
    seed=words("discord-generate-seed"),
    steps=words("discord-generate-steps"),
    guidance=words("discord-generate-guidance"),
    strength=words("discord-generate-strength"),
    sampler=words("discord-generate-sampler"),
)
@app_commands.autocomplete(code=offer_codes, style=offer_styles, size=offer_sizes)
@app_commands.choices(sampler=_SAMPLER_CHOICES)
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
    sampler: str = "",
) -> None:
    """Ask for pictures; without a code or a prompt, by buttons and a form."""
    wish = GenerateWish(
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
    )

    async def draw(who: Identity, place: Place) -> Reply:
        complete = sized(wish, size.strip()) if size.strip() else wish
        return await interaction.client.studio.generate(who, place, code, complete)

    await interaction.client.answer(interaction, draw, prefer_dm=False)


async def _in_time(offer: Awaitable[list[Choice]]) -> list[app_commands.Choice[str]]:
    try:
        async with asyncio.timeout(OFFER_S):
            return _choices(await offer)
    except TimeoutError:
        log.warning("offers were not found in time")
        return []


def _choices(offered: Sequence[Choice]) -> list[app_commands.Choice[str]]:
    fitting = [each for each in offered if len(each.value) <= MAX_CHOICE_CHARS]
    return [
        app_commands.Choice(name=each.label[:MAX_CHOICE_CHARS], value=each.value)
        for each in fitting[:MAX_CHOICES]
    ]
