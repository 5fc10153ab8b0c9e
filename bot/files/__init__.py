"""The one place that writes files: LoRAs, checkpoints, pictures. Whole or not at all."""

from __future__ import annotations

from bot.files._disk import Disk
from bot.files._files import Files

__all__ = ["Disk", "Files"]
