"""The forms: the one of `/train`, and the one that asks for other words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import discord

from bot import texts
from bot.chats.discord._buttons import PREFIX
from bot.domain import MAX_PHOTOS_HELD, MAX_PROMPT_CHARS, PHOTOS_PER_LORA

#: Until then the form may stay open; it is forgotten afterwards. The form for photos ends with a restart.
TIMEOUT_S = 3600.0
PHOTOS_ID, PROMPT_ID = "photos", "prompt"
_PROMPT_FORM = re.compile(rf"{PREFIX}edit:([0-9]{{1,15}})")


class PhotosModal(discord.ui.Modal):
    """Asks for five photos; takes more, so that the answer can be a choice and not a shrug."""

    def __init__(self) -> None:
        super().__init__(title=texts.FORM_PHOTOS, timeout=TIMEOUT_S)
        self._upload: discord.ui.FileUpload[PhotosModal] = discord.ui.FileUpload(
            custom_id=PHOTOS_ID, min_values=PHOTOS_PER_LORA, max_values=MAX_PHOTOS_HELD
        )
        label: discord.ui.Label[PhotosModal] = discord.ui.Label(
            text=texts.FORM_PHOTOS_LABEL,
            description=texts.FORM_PHOTOS_ABOUT,
            component=self._upload,
        )
        self.add_item(label)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Take the photos."""
        await interaction.client.take_photos(interaction, self._upload.values)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, *_: Any) -> None:
        """Say sorry."""
        await interaction.client.apologise(interaction, error)


class PromptModal(discord.ui.Modal):
    """Asks for a result's prompt anew.

    What comes back is read by `reworded` and not here: a form can stay open over a restart, and discord.py
    then knows nothing of it.
    """

    def __init__(self, job_id: int, prompt: str) -> None:
        super().__init__(title=texts.FORM_PROMPT, timeout=TIMEOUT_S, custom_id=f"{PREFIX}edit:{job_id}")
        field: discord.ui.TextInput[PromptModal] = discord.ui.TextInput(
            custom_id=PROMPT_ID,
            style=discord.TextStyle.paragraph,
            default=prompt[:MAX_PROMPT_CHARS] or None,
            max_length=MAX_PROMPT_CHARS,
        )
        label: discord.ui.Label[PromptModal] = discord.ui.Label(text=texts.FORM_PROMPT_LABEL, component=field)
        self.add_item(label)


def reworded(data: Mapping[str, Any]) -> tuple[int, str] | None:
    """Read whose result and which words a form that came back holds; None when it is another form."""
    match = _PROMPT_FORM.fullmatch(str(data.get("custom_id")))
    if match is None:
        return None
    fields = [each["component"] for each in data["components"] if "component" in each]
    words = [str(each["value"]) for each in fields if each.get("custom_id") == PROMPT_ID]
    return int(match[1]), words[0] if words else ""
