"""What the use cases need of other parts, in as few words as possible."""

from __future__ import annotations

from typing import Protocol

from bot.domain import JobId, NewPhoto
from bot.replies import Upload
from gpu_worker.protocol import Health


class Gate(Protocol):
    """Lets photos in."""

    async def check(self, upload: Upload) -> NewPhoto:
        """Give the photo as it is kept; UserError says why it cannot be used."""


class JobQueue(Protocol):
    """Carries jobs out."""

    def wake(self) -> None:
        """Say that the ledger holds a new job."""

    async def stop(self, job_id: JobId) -> None:
        """End the attempt of a job that was cancelled, if there is one."""

    def health(self) -> Health | None:
        """What the worker last said of itself; None while there is none."""
