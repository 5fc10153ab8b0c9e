"""What the coach might have measured: one good photo, to be changed in what a test is about."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from bot.media.quality import Box, Face, PhotoMeasurements


def person(seed: int, nearness: float = 0.0) -> tuple[float, ...]:
    """Return the numbers of person `seed`: 0.9 from other seeds, `nearness` of it from their own."""
    numbers = [0.0] * 128
    numbers[seed] = 0.9 / 2**0.5
    numbers[127] = nearness
    return tuple(numbers)


def face(**changes: Any) -> Face:
    """Return a clear face, a third of a photo of 900 x 1200."""
    good = Face(
        box=Box(0.35, 0.2, 0.3, 0.25),
        width_px=270,
        is_cut=False,
        yaw=0.0,
        sharpness=250,
        highlight=190,
        blown_out=0.0,
        embedding=person(1),
    )
    return msgspec.structs.replace(good, **changes)


def sight(seed: int = 0, *faces: Face, **changes: Any) -> PhotoMeasurements:
    """Return a photo without faults; each seed looks like none before."""
    good = PhotoMeasurements(
        width_px=900,
        height_px=1200,
        sharpness=400,
        brightness=100,
        highlight=200,
        blown_out=0.0,
        greenery=0.0,
        sky=0.0,
        hash=random.Random(seed).randbytes(16),
        faces=faces or (face(),),
    )
    return msgspec.structs.replace(good, **changes)
