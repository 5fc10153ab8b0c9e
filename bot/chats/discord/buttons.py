"""Buttons that know what they do from their id alone, so that they work after a restart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import discord

from bot.core.messages import Button

#: Marks our ids; what follows goes to `Studio.press` as it is.
CUSTOM_ID_PREFIX = "lc:"
#: What Discord shows under one message at most.
MAX_ROWS, BUTTONS_PER_ROW = 5, 5


class ActionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=rf"{CUSTOM_ID_PREFIX}(?P<action>.+)"
):
    """A button whose id holds its action."""

    def __init__(self, label: str | None, action: str, row: int | None = None) -> None:
        super().__init__(discord.ui.Button(label=label, custom_id=f"{CUSTOM_ID_PREFIX}{action}", row=row))
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


def build_view(buttons: Sequence[Button]) -> discord.ui.View | None:
    """Return the buttons as discord.py takes them; None when there are none."""
    if not buttons:
        return None
    view = discord.ui.View(timeout=None)
    for row_index, row in enumerate(_layout_rows(buttons)):
        for button in row:
            view.add_item(ActionButton(button.label, button.action, row_index))
    return view


def _layout_rows(buttons: Sequence[Button]) -> list[Sequence[Button]]:
    # Those without a row fill rows of five: one below the other would use up the five rows at once.
    groups = [list(group) for _, group in groupby(buttons, key=lambda button: button.row)]
    rows = [row for group in groups for row in _chunk_rows(group)]
    return rows if len(rows) <= MAX_ROWS else _chunk_rows(buttons)[:MAX_ROWS]


def _chunk_rows(buttons: Sequence[Button]) -> list[Sequence[Button]]:
    return [buttons[at : at + BUTTONS_PER_ROW] for at in range(0, len(buttons), BUTTONS_PER_ROW)]
