"""Buttons that know what they do from their id alone, so that they work after a restart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import discord

from bot.replies import Button

#: Marks our ids; what follows goes to `Studio.press` as it is.
_PREFIX = "lc:"


class ActionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=rf"{_PREFIX}(?P<action>.+)"
):
    """A button whose id holds its action."""

    def __init__(self, label: str | None, action: str) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"{_PREFIX}{action}"))
        self._action = action

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> ActionButton:
        """Build the button that was pressed."""
        return cls(getattr(item, "label", None), match["action"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Do what the button says."""
        await interaction.client.press(interaction, self._action)


def view_of(buttons: Sequence[Button]) -> discord.ui.View | None:
    """Give the buttons as discord.py takes them; None when there are none."""
    if not buttons:
        return None
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(ActionButton(button.label, button.action))
    return view
