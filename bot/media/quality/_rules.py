"""Rules for one photo. Pure: numbers in, verdicts out. Never about looks.

docs/likeness.md says where each threshold comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from bot.core.loras import PERSON_CLASSES
from bot.media.quality._types import Face, PhotoMeasurements

#: A style may be soft or grey on purpose.
_SOFT_CLASS_WORD = "style"

TRAINED_SIDE_PX = 512  # what the smallest base models look at; the thresholds are for it
#: Of a face; a base model that looks at twice as many pixels wants twice as many.
MIN_FACE_PX = 64
#: Of a face once its photo is that small: fewer are too few for the model's latents, of which one is 8 px.
MIN_TRAINED_FACE_PX = 48
#: A face this much smaller than the main one is somebody in the background.
BACKGROUND_FACE_RATIO = 0.25

BLURRED_FACE_SHARPNESS, SOFT_FACE_SHARPNESS = 40.0, 65.0
BLURRED_SHARPNESS, SOFT_SHARPNESS = 30.0, 100.0
DARK_HIGHLIGHT, DIM_HIGHLIGHT = 60.0, 90.0
RED_BLOWN_OUT, AMBER_BLOWN_OUT = 0.5, 0.2


class PhotoGrade(IntEnum):
    """The grade of a photo; larger is worse."""

    #: As it should be.
    GREEN = 0
    #: Usable; the person may insist.
    AMBER = 1
    #: To be replaced.
    RED = 2


class PhotoProblem(StrEnum):
    """Why a photo is not green. Each names the values of its verdict."""

    #: Nobody could look at it.
    UNREADABLE = "not-seen"
    #: There is no clear face.
    NO_FACE = "no-face"
    #: There are several; `faces`.
    SEVERAL_FACES = "more-faces"
    #: There are small ones besides the main one; `faces` besides.
    BACKGROUND_FACES = "faces-behind"
    #: The face has too few pixels; `face_px`, `wanted_px`.
    FACE_SMALL = "face-small"
    #: The face will have too few pixels unless the photo is cropped; `face_px`, `wanted_px` when trained.
    FACE_DISTANT = "face-far"
    #: The face goes on beyond the edge.
    FACE_CUT = "face-cut"
    #: It is not sharp; `sharpness`, `wanted`.
    BLURRED = "blurred"
    #: `highlight`, `wanted`, of 255.
    DARK = "dark"
    #: `percent` of it is white.
    BLOWN_OUT = "blown-out"
    #: It is black and white.
    GREY = "grey"
    #: It has few pixels; `short_px`, `wanted_px`.
    SMALL = "small"
    #: It shows somebody else than most of the others.
    OTHER_PERSON = "other-person"
    #: It may show somebody else than the others.
    UNSURE_PERSON = "unsure-person"
    #: It is the same picture as `photo`, counted from 1.
    DUPLICATE = "same-picture"
    #: It is nearly the same picture as `photo`, counted from 1.
    NEAR_DUPLICATE = "much-alike"


@dataclass(frozen=True, slots=True)
class PhotoVerdict:
    """The worst problem of one photo, or none if it is green."""

    grade: PhotoGrade = PhotoGrade.GREEN
    problem: PhotoProblem | None = None
    values: Mapping[str, int] = field(default_factory=dict)


def red(problem: PhotoProblem, **values: int) -> PhotoVerdict:
    """Return a verdict for a photo that has to be replaced."""
    return PhotoVerdict(PhotoGrade.RED, problem, values)


def amber(problem: PhotoProblem, **values: int) -> PhotoVerdict:
    """Return a verdict for a photo that a person may keep."""
    return PhotoVerdict(PhotoGrade.AMBER, problem, values)


def check_photo(
    measurements: PhotoMeasurements | None, class_word: str, trained_side_px: int = TRAINED_SIDE_PX
) -> Iterator[PhotoVerdict]:
    """Return all problems of one photo by itself, the most important first.

    `trained_side_px` is the side of the pictures that the base model is trained on.
    """
    if measurements is None:
        yield amber(PhotoProblem.UNREADABLE)
    elif class_word in PERSON_CLASSES and measurements.faces is not None:
        yield from _check_faces(measurements, measurements.faces, trained_side_px)
    else:
        yield from _check_whole(measurements, class_word, trained_side_px)
    if measurements is not None and measurements.is_grey and class_word != _SOFT_CLASS_WORD:
        yield amber(PhotoProblem.GREY)


def _check_faces(
    measurements: PhotoMeasurements, faces: tuple[Face, ...], trained_side_px: int
) -> Iterator[PhotoVerdict]:
    if not faces:
        yield red(PhotoProblem.NO_FACE)
        return
    face, *other_faces = faces
    large_faces = [each for each in other_faces if each.width_px >= BACKGROUND_FACE_RATIO * face.width_px]
    if large_faces:
        yield red(PhotoProblem.SEVERAL_FACES, faces=1 + len(large_faces))
    scale = trained_side_px / TRAINED_SIDE_PX
    if face.width_px < MIN_FACE_PX * scale:
        yield red(PhotoProblem.FACE_SMALL, face_px=round(face.width_px), wanted_px=round(MIN_FACE_PX * scale))
    yield from _check_sharpness(face.sharpness, BLURRED_FACE_SHARPNESS, SOFT_FACE_SHARPNESS)
    yield from _check_light(face.highlight, face.blown_out)
    if face.is_cut:
        yield amber(PhotoProblem.FACE_CUT)
    trained_px, wanted_px = (
        face.width_px * min(1.0, trained_side_px / measurements.short_px),
        round(MIN_TRAINED_FACE_PX * scale),
    )
    if trained_px < wanted_px:
        yield amber(PhotoProblem.FACE_DISTANT, face_px=round(trained_px), wanted_px=wanted_px)
    if other_faces and not large_faces:
        yield amber(PhotoProblem.BACKGROUND_FACES, faces=len(other_faces))


def _check_whole(
    measurements: PhotoMeasurements, class_word: str, trained_side_px: int
) -> Iterator[PhotoVerdict]:
    if class_word != _SOFT_CLASS_WORD:
        yield from _check_sharpness(measurements.sharpness, BLURRED_SHARPNESS, SOFT_SHARPNESS)
    if measurements.short_px < trained_side_px:
        yield amber(PhotoProblem.SMALL, short_px=measurements.short_px, wanted_px=trained_side_px)


def _check_sharpness(sharpness: float, blurred: float, soft: float) -> Iterator[PhotoVerdict]:
    if sharpness < soft:
        make_verdict = red if sharpness < blurred else amber
        yield make_verdict(PhotoProblem.BLURRED, sharpness=round(sharpness), wanted=round(soft))


def _check_light(highlight: float, blown_out: float) -> Iterator[PhotoVerdict]:
    if highlight < DIM_HIGHLIGHT:
        make_verdict = red if highlight < DARK_HIGHLIGHT else amber
        yield make_verdict(PhotoProblem.DARK, highlight=round(highlight), wanted=round(DIM_HIGHLIGHT))
    if blown_out > AMBER_BLOWN_OUT:
        make_verdict = red if blown_out > RED_BLOWN_OUT else amber
        yield make_verdict(PhotoProblem.BLOWN_OUT, percent=round(100 * blown_out))
