"""The form that `/train` opens."""

from __future__ import annotations

from typing import Any

import discord

from bot.domain import MAX_PHOTOS_HELD, PHOTOS_PER_LORA

#: Until then the form may stay open; it is forgotten afterwards. A form does not survive a restart.
TIMEOUT_S = 3600.0
PHOTOS_ID = "photos"


class PhotosModal(discord.ui.Modal):
    """Asks for five photos; takes more, so that the answer can be a choice and not a shrug."""

    def __init__(self) -> None:
        super().__init__(title="Train on five photos", timeout=TIMEOUT_S)
        self._upload: discord.ui.FileUpload[PhotosModal] = discord.ui.FileUpload(
            custom_id=PHOTOS_ID, min_values=PHOTOS_PER_LORA, max_values=MAX_PHOTOS_HELD
        )
        label: discord.ui.Label[PhotosModal] = discord.ui.Label(
            text="Five photos of one person",
            description="JPEG, PNG, WebP or HEIC, each up to 20 MB. Deleted when the training has ended.",
            component=self._upload,
        )
        self.add_item(label)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Take the photos."""
        await interaction.client.take_photos(interaction, self._upload.values)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, *_: Any) -> None:
        """Say sorry."""
        await interaction.client.apologise(interaction, error)
