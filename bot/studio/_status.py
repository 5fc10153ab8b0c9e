"""What an administrator is told: gathered here, worded in `bot.texts`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

from bot import texts
from bot.ledger import Ledger
from bot.replies import Reply
from gpu_worker.protocol import Health


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as the ledger does not know it."""

    data_dir: Path
    uptime: timedelta
    health: Health | None
