"""What an administrator is told: gathered here, worded in `bot.texts`."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

from bot import texts
from bot.eta import estimate
from bot.ledger import Ledger
from bot.replies import Reply
from gpu_worker.protocol import Health


@dataclass(frozen=True, slots=True)
class Host:
    """The machine, as far as the ledger does not know it."""

    data_dir: Path
    uptime: timedelta
    health: Health | None


async def status(ledger: Ledger, host: Host, now: datetime) -> Reply:
    """Tell how the machine is doing."""
    counts = await ledger.counts()
    running = [(job, (await estimate(ledger, job, now)).left_s) for job in await ledger.running_jobs()]
    disk = await asyncio.to_thread(shutil.disk_usage, host.data_dir)
    return texts.status(
        texts.StatusReport(
            version=metadata.version("loracode"),
            uptime=host.uptime,
            health=host.health,
            running=running,
            jobs=counts.jobs,
            notices_owed=counts.notices_owed,
            disk_free_bytes=disk.free,
        )
    )
