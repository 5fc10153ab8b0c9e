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
from bot.media.storage import Files
from gpu_worker.protocol import Health

log = logging.getLogger(__name__)

BEAT_S = 10.0
#: A bot that has not beaten for so long is not well: several beats, for a disk that is busy.
STALE_S = 45.0
NAME = "pulse.json"


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot last said of itself."""

    at: datetime
    since: datetime
    pid: int
    health: Health | None

    def is_stale(self, now: datetime) -> bool:
        """Say whether it is too long ago."""
        return (now - self.at).total_seconds() > STALE_S


async def beat(files: Files, health: Callable[[], Health | None], clock: Callable[[], datetime]) -> None:
    """Write the pulse again and again, until cancelled; then there is none."""
    since = clock()
    try:
        while True:
            pulse = Pulse(at=clock(), since=since, pid=os.getpid(), health=health())
            try:
                await files.write_pulse(NAME, msgspec.json.encode(pulse))
            except OSError as error:  # a full disk is told by others; the bot goes on
                log.warning("the pulse cannot be written: %s", error.strerror)
            await asyncio.sleep(BEAT_S)
    finally:
        (files.root / NAME).unlink(missing_ok=True)


def read(data_dir: Path) -> Pulse | None:
    """Give the last pulse; None when there is none, or a torn one. SettingsError where we may not look."""
    try:
        return msgspec.json.decode((data_dir / NAME).read_bytes(), type=Pulse)
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    except OSError as error:
        raise SettingsError(f"DATA_DIR: {data_dir} cannot be looked into ({error.strerror}).") from None
