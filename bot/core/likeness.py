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

Vector: TypeAlias = Sequence[float]


#: dlib's own threshold: faces further apart are taken for two people.
SAME_PERSON = 0.6


#: Of a hash's 128 bits: a picture that differs in fewer from a photo is that photo again.
COPY_BITS = 13


#: A photo that is less like the others than they are among themselves by this much pulls a LoRA down.
ODD_BY = 0.12


#: So far below the best, twice in a row, and the training has passed its peak.
PEAK_DROP = 0.03


class Alike(Protocol):
    """Compares two people."""

    def __call__(self, one: Vector, other: Vector) -> float:
        """Give 1 for the same person and 0 for people with nothing in common."""


def faces_alike(one: Vector, other: Vector) -> float:
    """Compare dlib's numbers of two faces; a half where dlib begins to take them for two people."""
    return max(0.0, 1.0 - math.dist(one, other) / (2 * SAME_PERSON))


def drawings_alike(one: Vector, other: Vector) -> float:
    """Compare what the small base model's judge says of two drawn people: the cosine of their angle."""
    return max(0.0, math.fsum(a * b for a, b in zip(one, other, strict=True)))


def score(
    step: int, photos: Sequence[Vector], pictures: Sequence[Vector | None], copies: int, alike: Alike
) -> Score | None:
    """Score a candidate by its pictures; None stands for a picture that shows nobody.

    None when there is nothing to compare.
    """
    if not photos or not pictures:
        return None
    found = [mean(alike(photo, picture) for photo in photos) for picture in pictures if picture is not None]
    return Score(
        step=step,
        likeness=mean(found) if found else 0.0,
        pictures=len(pictures),
        faceless=len(pictures) - len(found),
        copies=copies,
    )


def pick(references: Sequence[Vector], pictures: Sequence[Vector | None], alike: Alike) -> Pick | None:
    """Choose the most alike of several pictures; None when there is nothing to compare."""
    if not references or not any(picture is not None for picture in pictures):
        return None
    found = tuple(
        None if picture is None else mean(alike(reference, picture) for reference in references)
        for picture in pictures
    )
    chosen = max(range(len(found)), key=lambda place: (-1.0 if (of := found[place]) is None else of, -place))
    return Pick(found, chosen + 1)


def worth(of: Score) -> float:
    """Say how much a candidate is worth: its likeness, less where nobody is seen or a photo is copied."""
    seen = 1.0 - of.faceless / of.pictures
    own = 1.0 - 0.5 * of.copies / of.pictures
    return of.likeness * seen * own


def best(scores: Sequence[Score]) -> Score | None:
    """Choose a candidate; of equals the one that learnt for a shorter time, which obeys words better."""
    return max(scores, key=lambda each: (round(worth(each), 3), -each.step), default=None)


def has_peaked(scores: Sequence[Score]) -> bool:
    """Say whether the last two candidates are clearly worse than the best before them."""
    if len(scores) < 3:
        return False
    top = max(worth(each) for each in scores[:-2])
    return all(worth(each) < top - PEAK_DROP for each in scores[-2:])


def odd_photo(photos: Sequence[Vector], alike: Alike) -> int | None:
    """Give the number, from 1, of the photo that is clearly less like the others than they are; else None."""
    if len(photos) < 3:
        return None
    to_others = [
        median(alike(photo, other) for place, other in enumerate(photos) if place != number)
        for number, photo in enumerate(photos)
    ]
    lowest = min(range(len(photos)), key=lambda number: to_others[number])
    rest = median(each for number, each in enumerate(to_others) if number != lowest)
    return lowest + 1 if rest - to_others[lowest] >= ODD_BY else None


def added(report: LikenessReport, new: Score, odd: int | None) -> LikenessReport:
    """Add a candidate's score; one of the same step takes the earlier one's place."""
    scores = {each.step: each for each in report.scores} | {new.step: new}
    return LikenessReport(tuple(scores[step] for step in sorted(scores)), report.chosen, odd)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a candidate of a training did on its pictures."""

    step: int
    likeness: float  #: to the photos, 0 to 1, over the pictures that show somebody
    pictures: int
    faceless: int  #: of the pictures, that show nobody
    copies: int  #: of the pictures, that are a photo again


@dataclass(frozen=True, slots=True)
class LikenessReport:
    """What was measured of a training on its way."""

    scores: tuple[Score, ...]  #: by step
    chosen: int | None = None  #: the step whose LoRA is the best so far, and is handed out
    odd_photo: int | None = None  #: the number, from 1, of a photo that is clearly unlike the others
    saved_s: float | None = None  #: by ending the training before its last step; None: it did not

    @property
    def best(self) -> Score | None:
        """The score of the LoRA that is handed out."""
        return next((each for each in self.scores if each.step == self.chosen), None)


@dataclass(frozen=True, slots=True)
class Pick:
    """Which of several pictures is the most alike."""

    likenesses: tuple[float | None, ...]  #: of each, 0 to 1; None: it shows nobody
    chosen: int  #: the number of the one that is handed out, from 1
