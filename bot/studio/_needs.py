"""What the use cases need of other parts, in as few words as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

    def prepare(self, photos: Iterable[bytes]) -> None:
        """Let the worker encode photos of a set that is being collected."""

    def forget(self, photos: Sequence[str]) -> None:
        """Let the worker forget photos, named by the SHA-256 of their bytes."""

    async def stop(self, job_id: JobId) -> None:
        """End the attempt of a job that was cancelled, if there is one."""

    def health(self) -> Health | None:
        """What the worker last said of itself; None while there is none."""
