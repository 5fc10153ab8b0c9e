"""Photos of one drawn person, as a phone would send them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from drawn.people import dice, identity
from drawn.portrait import draw
from drawn.scenes import PLACES, scene


def sample_photos(
    seed: int, count: int = 5, side_px: int = 512, places: Sequence[str] | None = None
) -> list[bytes]:
    """Return `count` JPEG files of person `seed`, each in another place (places repeat after six).

    `places`, one a photo and named as in `PLACES`, say where instead.
    """
    person = identity(seed)
    photos = []
    for index, place in enumerate(places or sample_places(seed, count)):
        picture_scene = scene(seed * 1000 + index, place)
        buffer = io.BytesIO()
        draw(person, picture_scene, side_px).save(buffer, "JPEG", quality=95)
        photos.append(buffer.getvalue())
    return photos


def sample_places(seed: int, count: int = 5) -> list[str]:
    """Name the place of each of the `sample_photos`, as `PLACES` has them."""
    places = list(PLACES)
    dice("album", seed).shuffle(places)
    return [places[index % len(places)] for index in range(count)]
