"""Five photos that make a good set: one person, and from each photo something that the others lack."""

from __future__ import annotations

import io
from dataclasses import replace

from drawn.people import identity
from drawn.portrait import draw
from drawn.scenes import Pose, Scene

_PERSON = 16
#: Close by, from further away, at another angle, in another mood and other clothes, in other light.
_SCENES = (
    Scene(1, "city", "blue", "smiling", "day", Pose(0.5, 0.47, 0.34, 0)),
    Scene(2, "beach", "green", "smiling", "day", Pose(0.46, 0.42, 0.17, -3)),
    Scene(3, "forest", "red", "surprised", "day", Pose(0.54, 0.46, 0.26, 17)),
    Scene(4, "snow", "yellow", "laughing", "day", Pose(0.5, 0.45, 0.27, -6)),
    Scene(5, "city", "white", "smiling", "evening", Pose(0.47, 0.46, 0.25, 5)),
)


def good_set(side_px: int) -> list[bytes]:
    """Return the five photos as JPEG files, in the order of the reasons above."""
    # With nothing on the face: that is what makes a photo good.
    person = replace(identity(_PERSON), glasses=False, hat=False)
    photos = []
    for scene in _SCENES:
        file = io.BytesIO()
        draw(person, scene, side_px).save(file, "JPEG", quality=95)
        photos.append(file.getvalue())
    return photos
