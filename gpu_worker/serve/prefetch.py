"""Queue of photos that are encoded before their training comes. Pure: no torch, threads or pipes.

People send a photo every few seconds, and encoding one takes seconds on a CPU. So it is done while they look
for the next one. Prefetching is optional: the training encodes what is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from time import monotonic

from gpu_worker.protocol import PrefetchRequest

#: Longest queue; the oldest photos are dropped, and left to their trainings.
MAX_QUEUED_PHOTOS = 64
#: Delay before the last photo is encoded: if it completed the set, the training follows at once, and its
#: first step should not wait for this photo.
TRAINING_GRACE_S = 0.25


class PrefetchQueue:
    """Photos that wait to be encoded while no job needs the GPU."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._photos: deque[PrefetchRequest] = deque(maxlen=MAX_QUEUED_PHOTOS)
        self._grace_ends_at = 0.0

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, request: PrefetchRequest) -> None:
        """Add a photo to the queue."""
        self._photos.append(request)
        self._grace_ends_at = self._clock() + TRAINING_GRACE_S

    def pop(self) -> PrefetchRequest:
        """Remove and return the oldest photo; IndexError if the queue is empty."""
        return self._photos.popleft()

    def remaining_grace_s(self) -> float:
        """Return the seconds in which the training of the last photo may still follow; 0 if none."""
        return max(0.0, self._grace_ends_at - self._clock()) if self._photos else 0.0

    def drop_training_photos(self, photos: Collection[bytes]) -> None:
        """Drop the photos of a training that has started; it encodes them itself."""
        self._retain(lambda request: request.photo not in photos)

    def forget(self, photo_hashes: Collection[str]) -> None:
        """Drop photos, named by their SHA-256."""
        self._retain(lambda request: request.photo_hash not in photo_hashes)

    def _retain(self, should_keep: Callable[[PrefetchRequest], bool]) -> None:
        retained = [request for request in self._photos if should_keep(request)]
        self._photos.clear()
        self._photos.extend(retained)
