"""What the dispatcher asks of whatever carries out GPU work."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from gpu_worker.protocol import JobRequest, PrefetchRequest, WorkerEvent, WorkerHealth


class GpuBackend(Protocol):
    """One verb: `run`. Retries, resume and bookkeeping are the dispatcher's, the same for every backend."""

    async def start(self) -> None:
        """Begin bringing workers up; returns without waiting for the first `Ready`."""

    def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Carry out ONE attempt and yield its events; the last is `Done`, `Failed` or `Stopped`.

        Closing the iterator cancels the attempt. Raises WorkerLost when the worker goes away or its
        stream ends without a terminal event.
        """

    async def prefetch(self, request: PrefetchRequest) -> None:
        """Let a worker encode a photo, or a part of it, for a training that may come.

        A courtesy: where no worker is up, or it goes away meanwhile, nothing happens and nothing is raised.
        """

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        """Let the workers forget photos, named by the SHA-256 of their bytes; as quiet as `prepare`."""

    def health(self) -> WorkerHealth | None:
        """What the worker, or all of them together, last said of itself; None while there is none."""

    def worker_count(self) -> int:
        """How many workers take jobs now, each a training and some generations; 0: jobs had better wait."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Have `tell` called whenever `seats` may have changed."""

    def crash_count(self) -> int:
        """Count the workers that ended without being told to, since the start."""

    async def close(self) -> None:
        """Stop the workers; running attempts raise WorkerLost."""


class WorkerSlot(GpuBackend, Protocol):
    """A backend with room for one worker: what a fleet is made of."""

    @property
    def name(self) -> str:
        """What logs call it."""

    @property
    def is_ready(self) -> bool:
        """Whether its worker is up and has said so."""
