"""The bot's pulse: a small file that says it lives, so that anybody beside it can ask without a port."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from bot.core.errors import SettingsError
from bot.media.storage import Storage
from gpu_worker.protocol import WorkerHealth

log = logging.getLogger(__name__)

INTERVAL_S = 10.0
#: A bot that has not beaten for so long is not well: several beats, for a disk that is busy.
STALE_AFTER_S = 45.0
FILE_NAME = "pulse.json"


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot last said of itself."""

    at: datetime
    since: datetime
    pid: int
    health: WorkerHealth | None

    def is_stale(self, now: datetime) -> bool:
        """Return whether it is too long ago."""
        return (now - self.at).total_seconds() > STALE_AFTER_S


async def write_heartbeats(
    storage: Storage, health: Callable[[], WorkerHealth | None], clock: Callable[[], datetime]
) -> None:
    """Write the pulse again and again, until cancelled; then there is none."""
    started_at = clock()
    try:
        while True:
            heartbeat = Heartbeat(at=clock(), since=started_at, pid=os.getpid(), health=health())
            try:
                await storage.write_heartbeat(FILE_NAME, msgspec.json.encode(heartbeat))
            except OSError as error:  # a full disk is told by others; the bot goes on
                log.warning("the pulse cannot be written: %s", error.strerror)
            await asyncio.sleep(INTERVAL_S)
    finally:
        (storage.root / FILE_NAME).unlink(missing_ok=True)


def read_heartbeat(data_dir: Path) -> Heartbeat | None:
    """Return the last pulse; None when there is none, or a torn one. SettingsError where we may not look."""
    try:
        return msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=Heartbeat)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise SettingsError(f"DATA_DIR: {data_dir} cannot be looked into ({error.strerror}).") from None
