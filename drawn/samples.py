"""Photos of one drawn person, as a phone would send them."""

from __future__ import annotations

import io

from drawn.people import dice, identity
from drawn.portrait import draw
from drawn.scenes import PLACES, scene


def sample_photos(seed: int, count: int = 5, side_px: int = 512) -> list[bytes]:
    """Return `count` JPEG files of person `seed`, each in another place (places repeat after six)."""
    person = identity(seed)
    places = list(PLACES)
    dice("album", seed).shuffle(places)
    photos = []
    for index in range(count):
        where = scene(seed * 1000 + index, places[index % len(places)])
        buffer = io.BytesIO()
        draw(person, where, side_px).save(buffer, "JPEG", quality=95)
        photos.append(buffer.getvalue())
    return photos
