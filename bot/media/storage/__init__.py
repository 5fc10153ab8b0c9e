"""The one place that writes files: LoRAs, checkpoints, pictures. Whole or not at all."""

from __future__ import annotations

from bot.media.storage._disk import Disk
from bot.media.storage._storage import Storage

__all__ = ["Disk", "Storage"]
