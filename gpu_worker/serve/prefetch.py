"""Photos that were sent ahead of their training. Pure: knows nothing of torch, threads or pipes.

A person sends one every few seconds; encoding one takes seconds on a CPU. So it is done while they look for
the next, and the first step finds it done. To prepare is never a duty: the training encodes what is missing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic

from gpu_worker.protocol import Prepare

#: Photos that wait; the oldest are left to their trainings.
MAX_AHEAD = 64
#: The photo that completes a set is followed by its training, which begins with another one. That long it
#: waits for the training, lest the first step wait for the photo.
SETTLE_S = 0.25


class Ahead:
    """The photos that wait to be encoded while nobody else needs the card."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._photos: deque[Prepare] = deque(maxlen=MAX_AHEAD)
        self._settled_at = 0.0

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, photo: Prepare) -> None:
        """Let a photo wait."""
        self._photos.append(photo)
        self._settled_at = self._clock() + SETTLE_S

    def take(self) -> Prepare:
        """Return the photo that waits longest; IndexError when none does."""
        return self._photos.popleft()

    def settles_in_s(self) -> float:
        """Return for how long a training may still follow the photo that came last; 0: it does not."""
        return max(0.0, self._settled_at - self._clock()) if self._photos else 0.0

    def leave_to_training(self, photos: Collection[bytes]) -> None:
        """Drop the photos of a training that has come: it encodes each when a step first needs it."""
        self._keep(lambda ahead: ahead.photo not in photos)

    def forget(self, names: Collection[str]) -> None:
        """Drop photos, named by their SHA-256."""
        self._keep(lambda ahead: hashlib.sha256(ahead.photo).hexdigest() not in names)

    def _keep(self, wanted: Callable[[Prepare], bool]) -> None:
        kept = [photo for photo in self._photos if wanted(photo)]
        self._photos.clear()
        self._photos.extend(kept)
