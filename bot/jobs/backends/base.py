"""The interface of a GPU backend, as the dispatcher uses it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from gpu_worker.protocol import JobRequest, PrefetchRequest, WorkerEvent, WorkerHealth


class GpuBackend(Protocol):
    """Runs attempts of jobs. Retries, resuming and bookkeeping are the dispatcher's, for every backend."""

    async def start(self) -> None:
        """Begin starting workers. Do not wait until they are ready."""

    def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        """Run ONE attempt and yield its events. The last is `DoneEvent`, `FailedEvent` or `CancelledEvent`.

        Closing the iterator cancels the attempt. Raise WorkerLost if the worker goes away or its stream ends
        without a terminal event.
        """

    async def prefetch(self, request: PrefetchRequest) -> None:
        """Send a photo, or a part of it, to be encoded for a training that may come.

        Do nothing and raise nothing if no worker is up, or if it goes away meanwhile.
        """

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        """Drop prefetched photos, named by the SHA-256 of their bytes. As quiet as `prefetch`."""

    def health(self) -> WorkerHealth | None:
        """Return the last health of the worker, or of all workers together; None without one."""

    def worker_count(self) -> int:
        """Return the number of workers that take jobs now, each a training and some generations."""

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever `worker_count` may have changed."""

    def crash_count(self) -> int:
        """Return the number of workers that ended without being told to, since the start."""

    async def close(self) -> None:
        """Stop the workers. Running attempts raise WorkerLost."""


class WorkerSlot(GpuBackend, Protocol):
    """A backend of one worker, of which a pool is made."""

    @property
    def name(self) -> str:
        """The name in logs."""

    @property
    def is_ready(self) -> bool:
        """True if its worker is up and ready."""
