"""A backup every day, made by a process of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from bot.core.errors import BackupError, LoraCodeError
from bot.ops import backup
from bot.processes.kill import kill
from bot.processes.sandbox import surroundings

log = logging.getLogger(__name__)

_EVERY, _LOOK_EVERY = timedelta(hours=24), timedelta(hours=1)


class Backups:
    """Makes a backup every day and deletes those that are too old; told by the clock every hour."""

    def __init__(self, data_dir: Path, folder: Path, keep_days: int, clock: Callable[[], datetime]) -> None:
        self._data_dir = data_dir
        self._folder = folder
        self._keep_days = keep_days
        self._clock = clock
        #: Why the last one failed; empty when it did not, None while nobody has looked yet.
        self.trouble: str | None = None
        self._making: asyncio.Task[str] | None = None

    def last_at(self) -> datetime | None:
        """Tell when the last one was made, as far as can be seen; looks at the disk."""
        try:
            made = backup.all_in(self._folder)
        except BackupError:  # `keep` meets the same, and says so
            return None
        return made[-1][0] if made else None

    async def keep(self) -> None:
        """Back up when the last time is a day ago; a failure is logged, and tried again in an hour."""
        now = self._clock()
        try:
            # As we look every hour: a backup is never older than it may be.
            await asyncio.to_thread(backup.forget_old, self._folder, self._keep_days, now + _LOOK_EVERY)
            last = await asyncio.to_thread(backup.all_in, self._folder)
            if last and now - last[-1][0] < _EVERY:
                self.trouble = ""
                return
            self._making = asyncio.create_task(self._made_by_child(now), name="backup")
            try:
                await asyncio.wait([self._making])
            finally:
                await self.close()
            if self._making.cancelled():
                return
            made = self._making.result()
        except LoraCodeError as error:
            self.trouble = str(error)
            log.error("%s", error)
        else:
            self.trouble = ""
            log.info("%s", made)

    async def close(self) -> None:
        """End the one that is being made; it is made anew at the next start."""
        if self._making is not None and not self._making.done():
            self._making.cancel()
            await asyncio.wait([self._making])

    async def _made_by_child(self, now: datetime) -> str:
        """Back up in a process of its own; BackupError as `backup.back_up`.

        Of a large ledger it takes minutes and half a GB, and people are answered meanwhile.
        """
        try:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.ops.backup", self._data_dir, self._folder, now.isoformat()),
                env=surroundings(),
                stdin=DEVNULL,
                stdout=PIPE,
            )
        except OSError as error:  # no memory, no more processes
            raise BackupError(f"The backup could not be started: {error.strerror}") from error
        try:
            told, _ = await child.communicate()
        except BaseException:
            kill(child)
            await child.communicate()  # to the end of its pipe, too
            raise
        if child.returncode != 0:
            raise BackupError(told.decode().strip() or f"The backup ended with status {child.returncode}.")
        return told.decode().strip()
