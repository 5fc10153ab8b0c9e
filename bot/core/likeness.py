"""How alike a LoRA's pictures are to the person of its photos. Pure: numbers in, numbers out.

Whoever can tell people apart turns a picture into numbers: dlib's network for faces (128 of them, compared by
their distance), or the small base model's own judge for drawn people (unit vectors, compared by their angle).
Neither says anything about looks, and none of these numbers is kept: only what is computed here is.

How alike pictures are to the photos: what was measured, and what was chosen by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Protocol, TypeAlias

Embedding: TypeAlias = Sequence[float]


#: dlib's own threshold: faces further apart are taken for two people.
SAME_PERSON_DISTANCE = 0.6


#: Of a hash's 128 bits: a picture that differs in fewer from a photo is that photo again.
COPY_DISTANCE_BITS = 13


#: A photo that is less like the others than they are among themselves by this much pulls a LoRA down.
ODD_PHOTO_MARGIN = 0.12


#: So far below the best, twice in a row, and the training has passed its peak.
PEAK_DROP = 0.03


def count_differing_bits(one: bytes, other: bytes) -> int:
    """Return how far apart the hashes of two pictures are."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


class Similarity(Protocol):
    """Compares two people."""

    def __call__(self, one: Embedding, other: Embedding) -> float:
        """Return 1 for the same person and 0 for people with nothing in common."""


def face_similarity(one: Embedding, other: Embedding) -> float:
    """Compare dlib's numbers of two faces; a half where dlib begins to take them for two people."""
    return max(0.0, 1.0 - math.dist(one, other) / (2 * SAME_PERSON_DISTANCE))


def drawing_similarity(one: Embedding, other: Embedding) -> float:
    """Compare what the small base model's judge says of two drawn people: the cosine of their angle."""
    return max(0.0, math.fsum(a * b for a, b in zip(one, other, strict=True)))


def score_candidate(
    step: int,
    photos: Sequence[Embedding],
    pictures: Sequence[Embedding | None],
    copy_count: int,
    similarity: Similarity,
) -> CandidateScore | None:
    """Score a candidate by its pictures; None stands for a picture that shows nobody.

    None when there is nothing to compare.
    """
    if not photos or not pictures:
        return None
    likenesses = [
        mean(similarity(photo, picture) for photo in photos) for picture in pictures if picture is not None
    ]
    return CandidateScore(
        step=step,
        likeness=mean(likenesses) if likenesses else 0.0,
        pictures=len(pictures),
        faceless=len(pictures) - len(likenesses),
        copies=copy_count,
    )


def pick_best(
    references: Sequence[Embedding], pictures: Sequence[Embedding | None], similarity: Similarity
) -> PictureSelection | None:
    """Choose the most alike of several pictures; None when there is nothing to compare."""
    if not references or not any(picture is not None for picture in pictures):
        return None
    likenesses = tuple(
        None if picture is None else mean(similarity(reference, picture) for reference in references)
        for picture in pictures
    )
    best_index = max(
        range(len(likenesses)),
        key=lambda index: (-1.0 if (likeness := likenesses[index]) is None else likeness, -index),
    )
    return PictureSelection(likenesses, best_index + 1)


def pick_best_together(
    references: Sequence[Sequence[Embedding]],
    pictures: Sequence[Sequence[Embedding | None]],
    similarity: Similarity,
) -> PictureSelection | None:
    """Choose of pictures of several people the one whose least alike person is best; None without a scale.

    Each person has references, and in each picture a part.
    """
    if not pictures or not all(references):
        return None
    people = tuple(
        tuple(
            None if part is None else mean(similarity(reference, part) for reference in own_references)
            for own_references, part in zip(references, parts, strict=True)
        )
        for parts in pictures
    )
    if all(likeness is None for picture in people for likeness in picture):
        return None
    least = [min(-1.0 if likeness is None else likeness for likeness in picture) for picture in people]
    best_index = max(range(len(least)), key=lambda index: (least[index], -index))
    likenesses = tuple(None if likeness < 0 else likeness for likeness in least)
    return PictureSelection(likenesses, best_index + 1, people)


def weighted_likeness(score: CandidateScore) -> float:
    """Return how much a candidate is worth: its likeness, less where nobody is seen or a photo is copied."""
    visible_share = 1.0 - score.faceless / score.pictures
    original_share = 1.0 - 0.5 * score.copies / score.pictures
    return score.likeness * visible_share * original_share


def best_score(scores: Sequence[CandidateScore]) -> CandidateScore | None:
    """Choose a candidate; of equals the one that learnt for a shorter time, which obeys words better."""
    return max(scores, key=lambda each: (round(weighted_likeness(each), 3), -each.step), default=None)


def has_peaked(scores: Sequence[CandidateScore]) -> bool:
    """Return whether the last two candidates are clearly worse than the best before them."""
    if len(scores) < 3:
        return False
    best_likeness = max(weighted_likeness(each) for each in scores[:-2])
    return all(weighted_likeness(each) < best_likeness - PEAK_DROP for each in scores[-2:])


def find_odd_photo(photos: Sequence[Embedding], similarity: Similarity) -> int | None:
    """Return the number, from 1, of the photo that is clearly less like the others; None without one."""
    if len(photos) < 3:
        return None
    median_similarities = [
        median(similarity(photo, other) for index, other in enumerate(photos) if index != number)
        for number, photo in enumerate(photos)
    ]
    lowest = min(range(len(photos)), key=lambda number: median_similarities[number])
    typical_similarity = median(each for number, each in enumerate(median_similarities) if number != lowest)
    return lowest + 1 if typical_similarity - median_similarities[lowest] >= ODD_PHOTO_MARGIN else None


def add_score(report: LikenessReport, new_score: CandidateScore, odd_photo: int | None) -> LikenessReport:
    """Add a candidate's score; one of the same step takes the earlier one's place."""
    scores_by_step = {each.step: each for each in report.scores} | {new_score.step: new_score}
    return LikenessReport(
        tuple(scores_by_step[step] for step in sorted(scores_by_step)), report.chosen, odd_photo
    )


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """How well a candidate of a training did on its pictures."""

    step: int
    likeness: float  #: to the photos, 0 to 1, over the pictures that show somebody
    pictures: int
    faceless: int  #: of the pictures, that show nobody
    copies: int  #: of the pictures, that are a photo again


@dataclass(frozen=True, slots=True)
class LikenessReport:
    """What was measured of a training on its way."""

    scores: tuple[CandidateScore, ...]  #: by step
    chosen: int | None = None  #: the step whose LoRA is the best so far, and is handed out
    odd_photo: int | None = None  #: the number, from 1, of a photo that is clearly unlike the others
    saved_s: float | None = None  #: by ending the training before its last step; None: it did not

    @property
    def chosen_score(self) -> CandidateScore | None:
        """The score of the LoRA that is handed out."""
        return next((each for each in self.scores if each.step == self.chosen), None)


@dataclass(frozen=True, slots=True)
class PictureSelection:
    """Which of several pictures is the most alike."""

    likenesses: tuple[float | None, ...]  #: of each, 0 to 1; None: it shows nobody
    chosen: int  #: the number of the one that is handed out, from 1; 0: all are
    people: tuple[tuple[float | None, ...], ...] = ()  #: in each picture of several people, of each of them
    codes: tuple[str, ...] = ()  #: the LoraCodes of these people
