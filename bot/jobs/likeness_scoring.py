"""Looks at pictures: scores a candidate's, and chooses the most alike of several."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from bot.core import likeness
from bot.core.jobs import Job
from bot.core.likeness import CandidateScore, PictureSelection
from bot.media.quality import PhotoAnalyzer, PhotoMeasurements
from gpu_worker.protocol import CandidateEvent, DoneEvent
from imaging.crop import crop_picture

log = logging.getLogger(__name__)


class LikenessScorer:
    """Scores candidates: by what the worker says of drawn people, else by the faces that the eye finds."""

    def __init__(self, analyzer: PhotoAnalyzer | None) -> None:
        self._analyzer = analyzer

    async def score_candidate(
        self, job: Job, photos: Sequence[bytes], candidate: CandidateEvent
    ) -> tuple[CandidateScore, int | None] | None:
        """Return a candidate's score and the photo that stands apart; None where nothing can be measured."""
        if candidate.picture_embeddings and candidate.photo_embeddings:
            similarity: likeness.Similarity = likeness.drawing_similarity
            photo_embeddings: list[Sequence[float]] = list(candidate.photo_embeddings)
            picture_embeddings: list[Sequence[float] | None] = list(candidate.picture_embeddings)
            copy_count = 0  # drawings of 64 pixels are too alike for a hash
        else:
            measurements = await self._analyze_all([*photos, *candidate.pictures])
            embeddings = [_face_embedding(each) for each in measurements]
            similarity = likeness.face_similarity
            photo_embeddings = [each for each in embeddings[: len(photos)] if each is not None]
            picture_embeddings = embeddings[len(photos) :]
            copy_count = _count_copies(measurements[: len(photos)], measurements[len(photos) :])
        score = likeness.score_candidate(
            candidate.step, photo_embeddings, picture_embeddings, copy_count, similarity
        )
        if score is None:
            log.info("job %d: nothing can be said of its likeness", job.id)
            return None
        is_complete = len(photo_embeddings) == len(photos)  # else numbers of photos would be wrong
        return score, likeness.find_odd_photo(photo_embeddings, similarity) if is_complete else None

    async def pick_best(self, references: Sequence[bytes], event: DoneEvent) -> PictureSelection | None:
        """Choose the most alike of the pictures that were drawn; None where nothing honest can be said."""
        if event.picture_embeddings and event.reference_embeddings:
            return likeness.pick_best(
                event.reference_embeddings, event.picture_embeddings, likeness.drawing_similarity
            )
        embeddings = [
            _face_embedding(each) for each in await self._analyze_all([*references, *event.pictures])
        ]
        reference_embeddings = [each for each in embeddings[: len(references)] if each is not None]
        return likeness.pick_best(
            reference_embeddings, embeddings[len(references) :], likeness.face_similarity
        )

    async def score_people(
        self, references: Sequence[Sequence[bytes]], event: DoneEvent
    ) -> PictureSelection | None:
        """Compare each person of pictures with their references; None where nothing honest can be said."""
        people = len(references)
        if event.picture_embeddings and event.reference_embeddings:
            similarity: likeness.Similarity = likeness.drawing_similarity
            parts: Sequence[Sequence[float] | None] = event.picture_embeddings
            flat_references: Sequence[Sequence[float] | None] = event.reference_embeddings
        else:
            similarity = likeness.face_similarity
            pairs = zip(event.pictures, event.regions, strict=True)
            crops = [crop_picture(picture, region) for picture, regions in pairs for region in regions]
            parts = [_face_embedding(each) for each in await self._analyze_all(crops)]
            pictures = [picture for own_references in references for picture in own_references]
            flat_references = [_face_embedding(each) for each in await self._analyze_all(pictures)]
        ends = list(itertools.accumulate(map(len, references)))
        own_references = [
            [each for each in flat_references[end - len(own) : end] if each is not None]
            for end, own in zip(ends, references, strict=True)
        ]
        by_picture = [parts[start : start + people] for start in range(0, len(parts), people)]
        return likeness.pick_best_together(own_references, by_picture, similarity)

    async def _analyze_all(self, pictures: Sequence[bytes]) -> list[PhotoMeasurements | None]:
        if self._analyzer is None:
            return [None] * len(pictures)
        return [await self._analyzer.analyze(each) for each in pictures]


def _face_embedding(measurements: PhotoMeasurements | None) -> Sequence[float] | None:
    face = None if measurements is None else measurements.main_face
    return face.embedding if face is not None and face.embedding else None


def _count_copies(
    photos: Sequence[PhotoMeasurements | None], pictures: Sequence[PhotoMeasurements | None]
) -> int:
    """Count the pictures that are a photo again."""
    hashes = [each.hash for each in photos if each is not None]
    return sum(
        any(
            likeness.count_differing_bits(each.hash, photo_hash) < likeness.COPY_DISTANCE_BITS
            for photo_hash in hashes
        )
        for each in pictures
        if each is not None
    )
