"""What a photo should be. Pure: numbers in, verdicts out. Nothing here, or ever, is about looks.

Where each threshold comes from is written in docs/likeness.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from bot.media.quality._types import Face, Sight

PEOPLE = ("person", "woman", "man")
#: A style may be soft on purpose.
_MAY_BE_SOFT = "style"

MIN_FACE_PX = 64
TRAINED_SIDE_PX = 512  # what Stable Diffusion 1.5 looks at
#: Of a face once its photo is that small: fewer are too few for the model's latents, of which one is 8 px.
MIN_TRAINED_FACE_PX = 48
#: A face this much smaller than the main one is somebody in the background.
BACKGROUND_FACE = 0.25

BLURRED_FACE, SOFT_FACE = 40.0, 65.0
BLURRED, SOFT = 30.0, 100.0
DARK, DIM = 60.0, 90.0
BLOWN_OUT, BRIGHT = 0.5, 0.2


class Grade(IntEnum):
    """How good a photo is; the larger is the worse."""

    #: As it should be.
    GREEN = 0
    #: Usable; the person may insist.
    AMBER = 1
    #: To be replaced.
    RED = 2


class Reason(StrEnum):
    """Why a photo is not green, and what its verdict's values are."""

    #: Nobody could look at it.
    NOT_SEEN = "not-seen"
    #: There is no clear face.
    NO_FACE = "no-face"
    #: There are several; `faces`.
    MORE_FACES = "more-faces"
    #: There are small ones besides the main one; `faces` besides.
    FACES_BEHIND = "faces-behind"
    #: The face has too few pixels; `face_px`, `wanted_px`.
    FACE_SMALL = "face-small"
    #: The face will have too few pixels unless the photo is cropped; `face_px`, `wanted_px` when trained.
    FACE_FAR = "face-far"
    #: The face goes on beyond the edge.
    FACE_CUT = "face-cut"
    #: It is not sharp; `sharpness`, `wanted`.
    BLURRED = "blurred"
    #: `highlight`, `wanted`, of 255.
    DARK = "dark"
    #: `percent` of it is white.
    BLOWN_OUT = "blown-out"
    #: It has few pixels; `short_px`, `wanted_px`.
    SMALL = "small"
    #: It shows somebody else than most of the others.
    OTHER_PERSON = "other-person"
    #: It may show somebody else than the others.
    UNSURE_PERSON = "unsure-person"
    #: It is the same picture as `photo`, counted from 1.
    SAME_PICTURE = "same-picture"
    #: It is nearly the same picture as `photo`, counted from 1.
    MUCH_ALIKE = "much-alike"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of one photo: the worst that was found, none when it is green."""

    grade: Grade = Grade.GREEN
    reason: Reason | None = None
    values: Mapping[str, int] = field(default_factory=dict)


def red(reason: Reason, **values: int) -> Verdict:
    """A photo to be replaced."""
    return Verdict(Grade.RED, reason, values)


def amber(reason: Reason, **values: int) -> Verdict:
    """A photo that a person may insist on."""
    return Verdict(Grade.AMBER, reason, values)


def of_photo(sight: Sight | None, class_word: str) -> Iterator[Verdict]:
    """Give all that is found in one photo by itself, the most important first."""
    if sight is None:
        yield amber(Reason.NOT_SEEN)
    elif class_word in PEOPLE and sight.faces is not None:
        yield from _of_faces(sight, sight.faces)
    else:
        yield from _of_whole(sight, class_word)


def _of_faces(sight: Sight, faces: tuple[Face, ...]) -> Iterator[Verdict]:
    if not faces:
        yield red(Reason.NO_FACE)
        return
    face, *others = faces
    near = [each for each in others if each.width_px >= BACKGROUND_FACE * face.width_px]
    if near:
        yield red(Reason.MORE_FACES, faces=1 + len(near))
    if face.width_px < MIN_FACE_PX:
        yield red(Reason.FACE_SMALL, face_px=round(face.width_px), wanted_px=MIN_FACE_PX)
    yield from _of_sharpness(face.sharpness, BLURRED_FACE, SOFT_FACE)
    yield from _of_light(face.highlight, face.blown_out)
    if face.is_cut:
        yield amber(Reason.FACE_CUT)
    trained_px = face.width_px * min(1.0, TRAINED_SIDE_PX / sight.short_px)
    if trained_px < MIN_TRAINED_FACE_PX:
        yield amber(Reason.FACE_FAR, face_px=round(trained_px), wanted_px=MIN_TRAINED_FACE_PX)
    if others and not near:
        yield amber(Reason.FACES_BEHIND, faces=len(others))


def _of_whole(sight: Sight, class_word: str) -> Iterator[Verdict]:
    if class_word != _MAY_BE_SOFT:
        yield from _of_sharpness(sight.sharpness, BLURRED, SOFT)
    if sight.short_px < TRAINED_SIDE_PX:
        yield amber(Reason.SMALL, short_px=sight.short_px, wanted_px=TRAINED_SIDE_PX)


def _of_sharpness(sharpness: float, blurred: float, soft: float) -> Iterator[Verdict]:
    if sharpness < soft:
        how = red if sharpness < blurred else amber
        yield how(Reason.BLURRED, sharpness=round(sharpness), wanted=round(soft))


def _of_light(highlight: float, blown_out: float) -> Iterator[Verdict]:
    if highlight < DIM:
        how = red if highlight < DARK else amber
        yield how(Reason.DARK, highlight=round(highlight), wanted=round(DIM))
    if blown_out > BRIGHT:
        how = red if blown_out > BLOWN_OUT else amber
        yield how(Reason.BLOWN_OUT, percent=round(100 * blown_out))
