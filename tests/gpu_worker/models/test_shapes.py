"""How large pictures of a shape or a ratio are, by family."""

from __future__ import annotations

import pytest

from gpu_worker.models.family import ModelFamily
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sdxl.family import SDXL


@pytest.mark.parametrize(
    ("family", "name", "sides_px"),
    [
        (SD15, "16:9", (910, 512)),
        (SD15, "9:21", (439, 1024)),
        (SDXL, "16:9", (1365, 768)),
        (SDXL, "1:16", (128, 2048)),
        (SDXL, "portrait", (832, 1216)),
    ],
)
def test_a_ratio_keeps_the_short_side_or_the_area(
    family: ModelFamily, name: str, sides_px: tuple[int, int]
) -> None:
    shape = family.find_shape(name)
    assert shape is not None
    assert tuple(round(family.native_px * side) for side in shape) == sides_px


@pytest.mark.parametrize("name", ["round", "0:1", "1:0", "1.2.3:1", "-1:2"])
def test_what_is_no_shape_is_none(name: str) -> None:
    assert SDXL.find_shape(name) is None
