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
from bot.processes.kill import kill_process
from bot.processes.sandbox import sandbox_environ

log = logging.getLogger(__name__)

_BACKUP_INTERVAL, _CHECK_INTERVAL = timedelta(hours=24), timedelta(hours=1)


class DailyBackups:
    """Makes a backup every day and deletes those that are too old; told by the clock every hour."""

    def __init__(self, data_dir: Path, folder: Path, keep_days: int, clock: Callable[[], datetime]) -> None:
        self._data_dir = data_dir
        self._folder = folder
        self._keep_days = keep_days
        self._clock = clock
        #: Why the last one failed; empty when it did not, None while nobody has looked yet.
        self.last_error: str | None = None
        self._task: asyncio.Task[str] | None = None

    def last_backup_at(self) -> datetime | None:
        """Tell when the last one was made, as far as can be seen; looks at the disk."""
        try:
            backups = backup.list_backups(self._folder)
        except BackupError:  # `keep` meets the same, and says so
            return None
        return backups[-1][0] if backups else None

    async def run_if_due(self) -> None:
        """Back up when the last time is a day ago; a failure is logged, and tried again in an hour."""
        now = self._clock()
        try:
            # As we look every hour: a backup is never older than it may be.
            await asyncio.to_thread(
                backup.delete_old_backups, self._folder, self._keep_days, now + _CHECK_INTERVAL
            )
            backups = await asyncio.to_thread(backup.list_backups, self._folder)
            if backups and now - backups[-1][0] < _BACKUP_INTERVAL:
                self.last_error = ""
                return
            self._task = asyncio.create_task(self._run_child(now), name="backup")
            try:
                await asyncio.wait([self._task])
            finally:
                await self.close()
            if self._task.cancelled():
                return
            summary = self._task.result()
        except LoraCodeError as error:
            self.last_error = str(error)
            log.error("%s", error)
        else:
            self.last_error = ""
            log.info("%s", summary)

    async def close(self) -> None:
        """End the one that is being made; it is made anew at the next start."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run_child(self, now: datetime) -> str:
        """Back up in a process of its own; BackupError as `backup.back_up`.

        Of a large database it takes minutes and half a GB, and people are answered meanwhile.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.ops.backup", self._data_dir, self._folder, now.isoformat()),
                env=sandbox_environ(),
                stdin=DEVNULL,
                stdout=PIPE,
            )
        except OSError as error:  # no memory, no more processes
            raise BackupError(f"The backup could not be started: {error.strerror}") from error
        try:
            output, _ = await process.communicate()
        except BaseException:
            kill_process(process)
            await process.communicate()  # to the end of its pipe, too
            raise
        if process.returncode != 0:
            raise BackupError(
                output.decode().strip() or f"The backup ended with status {process.returncode}."
            )
        return output.decode().strip()
