"""Looks at pictures: scores a candidate's, and chooses the most alike of several."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from bot.core import likeness
from bot.core.jobs import Job
from bot.core.likeness import Pick, Score
from bot.media.quality import Sight
from gpu_worker.protocol import Candidate, Done

log = logging.getLogger(__name__)


class Eye(Protocol):
    """Sees what is in a picture; the coach's eye is one."""

    async def see(self, photo: bytes) -> Sight | None:
        """Measure a picture; None when it cannot be seen."""


class Judging:
    """Scores candidates: by what the worker says of drawn people, else by the faces that the eye finds."""

    def __init__(self, eye: Eye | None) -> None:
        self._eye = eye

    async def score(
        self, job: Job, photos: Sequence[bytes], candidate: Candidate
    ) -> tuple[Score, int | None] | None:
        """Give a candidate's score and the photo that stands apart; None where nothing honest can be said."""
        if candidate.identities and candidate.photo_identities:
            alike: likeness.Alike = likeness.drawings_alike
            of_photos: list[Sequence[float]] = list(candidate.photo_identities)
            of_pictures: list[Sequence[float] | None] = list(candidate.identities)
            copies = 0  # drawings of 64 pixels are too alike for a hash
        else:
            seen = await self._seen([*photos, *candidate.pictures])
            of_all = [_identity(each) for each in seen]
            alike = likeness.faces_alike
            of_photos = [each for each in of_all[: len(photos)] if each is not None]
            of_pictures = of_all[len(photos) :]
            copies = _copies(seen[: len(photos)], seen[len(photos) :])
        found = likeness.score(candidate.step, of_photos, of_pictures, copies, alike)
        if found is None:
            log.info("job %d: nothing can be said of its likeness", job.id)
            return None
        is_whole = len(of_photos) == len(photos)  # else numbers of photos would be wrong
        return found, likeness.odd_photo(of_photos, alike) if is_whole else None

    async def pick(self, references: Sequence[bytes], drawn: Done) -> Pick | None:
        """Choose the most alike of the pictures that were drawn; None where nothing honest can be said."""
        if drawn.identities and drawn.compared_identities:
            return likeness.pick(drawn.compared_identities, drawn.identities, likeness.drawings_alike)
        seen = [_identity(each) for each in await self._seen([*references, *drawn.pictures])]
        known = [each for each in seen[: len(references)] if each is not None]
        return likeness.pick(known, seen[len(references) :], likeness.faces_alike)

    async def _seen(self, pictures: Sequence[bytes]) -> list[Sight | None]:
        if self._eye is None:
            return [None] * len(pictures)
        return [await self._eye.see(each) for each in pictures]


def _identity(seen: Sight | None) -> Sequence[float] | None:
    face = None if seen is None else seen.main_face
    return face.identity if face is not None and face.identity else None


def _copies(photos: Sequence[Sight | None], pictures: Sequence[Sight | None]) -> int:
    """Count the pictures that are a photo again."""
    hashes = [int.from_bytes(each.hash, "big") for each in photos if each is not None]
    return sum(
        any((int.from_bytes(each.hash, "big") ^ known).bit_count() < likeness.COPY_BITS for known in hashes)
        for each in pictures
        if each is not None
    )
