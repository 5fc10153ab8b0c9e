"""How alike pictures are to the photos: what was measured, and what was chosen by it."""

from __future__ import annotations

from dataclasses import dataclass


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
