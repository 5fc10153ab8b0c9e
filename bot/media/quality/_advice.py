"""What photos should be together: of one person, not the same picture twice, and not all alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from statistics import median

from bot.media.quality._rules import Reason, Verdict, amber, red
from bot.media.quality._types import IDENTITY_NUMBERS, Face, Sight

#: Distances of dlib's numbers: people are told apart from SOMEONE_ELSE on, and one person's photos are
#: nearer than UNSURE.
SOMEONE_ELSE, UNSURE = 0.6, 0.48
#: Of a hash's 128 bits: below the first it is the same picture again, below the second nearly.
SAME_BITS, ALIKE_BITS = 13, 29
#: Advice takes this many photos.
ENOUGH_PHOTOS = 3
_SAME_TURN, _SAME_LIGHT = 0.12, 12.0
CLOSE_UP, MEDIUM = 0.3, 0.12  # of the photo's height, that the face takes


class Advice(StrEnum):
    """What would make a good set better; never a refusal."""

    #: The head looks the same way in all of them.
    TURN = "turn"
    #: All are taken from about the same distance.
    DISTANCE = "distance"
    #: All have about the same light.
    LIGHT = "light"


def distance_word(face: Face) -> str:
    """Say from how far a face was taken, as a caption does."""
    if face.box.height >= CLOSE_UP:
        return "close-up"
    return "medium shot" if face.box.height >= MEDIUM else "long shot"


def repeats(sights: Sequence[Sight | None]) -> Iterator[tuple[int, Verdict]]:
    """Give each photo that repeats an earlier one, by its place from 0."""
    for place, sight in enumerate(sights):
        earlier = [
            (_bits_apart(sight.hash, other.hash), number)
            for number, other in enumerate(sights[:place], 1)
            if sight is not None and other is not None
        ]
        bits, photo = min(earlier, default=(ALIKE_BITS, 0))
        if bits < SAME_BITS:
            yield place, red(Reason.SAME_PICTURE, photo=photo)
        elif bits < ALIKE_BITS:
            yield place, amber(Reason.MUCH_ALIKE, photo=photo)


def strangers(faces: Mapping[int, Face]) -> Iterator[tuple[int, Verdict]]:
    """Give each photo that shows somebody else than most of the others; `faces` are by place from 0."""
    known = {place: face.identity for place, face in faces.items() if len(face.identity) == IDENTITY_NUMBERS}
    if len(known) < 2:
        return
    near = {
        place: [other for other in known if math.dist(known[place], known[other]) < SOMEONE_ELSE]
        for place in known
    }
    # The middle of the largest group; of equals the one whose photo came first.
    middle = max(near, key=lambda place: (len(near[place]), -place))
    group = near[middle]
    is_clear = 2 * len(group) > len(known)
    for place, numbers in known.items():
        apart = median(
            math.dist(numbers, known[other]) for other in group if other != place or len(group) == 1
        )
        if place not in group and apart >= SOMEONE_ELSE and is_clear:
            yield place, red(Reason.OTHER_PERSON)
        elif place not in group or apart >= UNSURE:
            yield place, amber(Reason.UNSURE_PERSON)


def advice(sights: Sequence[Sight]) -> tuple[Advice, ...]:
    """Say what all photos have in common that they had better not."""
    if len(sights) < ENOUGH_PHOTOS:
        return ()
    faces = [sight.main_face for sight in sights if sight.main_face is not None]
    given = []
    if len(faces) == len(sights):
        if _spread([face.turn for face in faces]) < _SAME_TURN:
            given.append(Advice.TURN)
        if len({distance_word(face) for face in faces}) == 1:
            given.append(Advice.DISTANCE)
    if _spread([sight.brightness for sight in sights]) < _SAME_LIGHT:
        given.append(Advice.LIGHT)
    return tuple(given)


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _bits_apart(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()
