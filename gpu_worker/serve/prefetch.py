"""Photos that were sent ahead of their training. Pure: knows nothing of torch, threads or pipes.

A person sends one every few seconds; encoding one takes seconds on a CPU. So it is done while they look for
the next, and the first step finds it done. To prepare is never a duty: the training encodes what is missing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic

from gpu_worker.protocol import PrefetchRequest

#: Photos that wait; the oldest are left to their trainings.
MAX_QUEUED_PHOTOS = 64
#: The photo that completes a set is followed by its training, which begins with another one. That long it
#: waits for the training, lest the first step wait for the photo.
TRAINING_GRACE_S = 0.25


class PrefetchQueue:
    """The photos that wait to be encoded while nobody else needs the card."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._photos: deque[PrefetchRequest] = deque(maxlen=MAX_QUEUED_PHOTOS)
        self._grace_ends_at = 0.0

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, request: PrefetchRequest) -> None:
        """Let a photo wait."""
        self._photos.append(request)
        self._grace_ends_at = self._clock() + TRAINING_GRACE_S

    def pop(self) -> PrefetchRequest:
        """Return the photo that waits longest; IndexError when none does."""
        return self._photos.popleft()

    def remaining_grace_s(self) -> float:
        """Return for how long a training may still follow the photo that came last; 0: it does not."""
        return max(0.0, self._grace_ends_at - self._clock()) if self._photos else 0.0

    def drop_training_photos(self, photos: Collection[bytes]) -> None:
        """Drop the photos of a training that has come: it encodes each when a step first needs it."""
        self._retain(lambda request: request.photo not in photos)

    def forget(self, photo_hashes: Collection[str]) -> None:
        """Drop photos, named by their SHA-256."""
        self._retain(lambda request: hashlib.sha256(request.photo).hexdigest() not in photo_hashes)

    def _retain(self, should_keep: Callable[[PrefetchRequest], bool]) -> None:
        retained = [request for request in self._photos if should_keep(request)]
        self._photos.clear()
        self._photos.extend(retained)
