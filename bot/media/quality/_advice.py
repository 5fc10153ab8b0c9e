"""Rules for all photos together: one person, no picture twice, not all alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from statistics import median

from bot.core.likeness import COPY_DISTANCE_BITS, SAME_PERSON_DISTANCE, count_differing_bits
from bot.media.quality._rules import PhotoProblem, PhotoVerdict, amber, red
from bot.media.quality._types import EMBEDDING_SIZE, Face, PhotoMeasurements

#: The photos of one person are nearer to each other, in dlib's numbers.
UNSURE_DISTANCE = 0.48
#: Of a hash's 128 bits: a photo that differs in fewer is nearly the same picture.
NEAR_DUPLICATE_BITS = 29
#: Advice takes this many photos.
MIN_ADVICE_PHOTOS = 3
_SAME_YAW, _SAME_LIGHT = 0.12, 12.0
CLOSE_UP_SHARE, MEDIUM_SHOT_SHARE = 0.3, 0.12  # of the photo's height, that the face takes


class Advice(StrEnum):
    """What would make a set better. It never refuses one."""

    #: The head looks the same way in all of them.
    YAW = "turn"
    #: All are taken from about the same distance.
    DISTANCE = "distance"
    #: All have about the same light.
    LIGHT = "light"


def distance_word(face: Face) -> str:
    """Return the distance of a face in the words of a caption."""
    if face.box.height >= CLOSE_UP_SHARE:
        return "close-up"
    return "medium shot" if face.box.height >= MEDIUM_SHOT_SHARE else "long shot"


def find_duplicates(
    measurements_list: Sequence[PhotoMeasurements | None],
) -> Iterator[tuple[int, PhotoVerdict]]:
    """Return each photo that repeats an earlier one, by index."""
    for index, measurements in enumerate(measurements_list):
        earlier = [
            (count_differing_bits(measurements.hash, other_measurements.hash), number)
            for number, other_measurements in enumerate(measurements_list[:index], 1)
            if measurements is not None and other_measurements is not None
        ]
        bits, photo = min(earlier, default=(NEAR_DUPLICATE_BITS, 0))
        if bits < COPY_DISTANCE_BITS:
            yield index, red(PhotoProblem.DUPLICATE, photo=photo)
        elif bits < NEAR_DUPLICATE_BITS:
            yield index, amber(PhotoProblem.NEAR_DUPLICATE, photo=photo)


def find_strangers(faces: Mapping[int, Face]) -> Iterator[tuple[int, PhotoVerdict]]:
    """Return each photo that shows somebody else than most of the others. `faces` are by index."""
    embeddings = {
        index: face.embedding for index, face in faces.items() if len(face.embedding) == EMBEDDING_SIZE
    }
    if len(embeddings) < 2:
        return
    neighbours = {
        index: [
            other
            for other in embeddings
            if math.dist(embeddings[index], embeddings[other]) < SAME_PERSON_DISTANCE
        ]
        for index in embeddings
    }
    # The middle of the largest group; of equals the one whose photo came first.
    centre = max(neighbours, key=lambda index: (len(neighbours[index]), -index))
    largest_group = neighbours[centre]
    has_majority = 2 * len(largest_group) > len(embeddings)
    for index, embedding in embeddings.items():
        distance = median(
            math.dist(embedding, embeddings[other])
            for other in largest_group
            if other != index or len(largest_group) == 1
        )
        if index not in largest_group and distance >= SAME_PERSON_DISTANCE and has_majority:
            yield index, red(PhotoProblem.OTHER_PERSON)
        elif index not in largest_group or distance >= UNSURE_DISTANCE:
            yield index, amber(PhotoProblem.UNSURE_PERSON)


def give_advice(measurements_list: Sequence[PhotoMeasurements]) -> tuple[Advice, ...]:
    """Return what all photos have in common and should not."""
    if len(measurements_list) < MIN_ADVICE_PHOTOS:
        return ()
    faces = [
        measurements.main_face for measurements in measurements_list if measurements.main_face is not None
    ]
    advice_list = []
    if len(faces) == len(measurements_list):
        if _spread([face.yaw for face in faces]) < _SAME_YAW:
            advice_list.append(Advice.YAW)
        if len({distance_word(face) for face in faces}) == 1:
            advice_list.append(Advice.DISTANCE)
    if _spread([measurements.brightness for measurements in measurements_list]) < _SAME_LIGHT:
        advice_list.append(Advice.LIGHT)
    return tuple(advice_list)


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)
