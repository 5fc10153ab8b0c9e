"""Bucket sizes as sd-scripts picks them."""

from __future__ import annotations

import pytest

from gpu_worker.errors import BadInput
from gpu_worker.kohya.dataset.buckets import BucketConfig


@pytest.mark.parametrize(
    ("rules", "picture", "size"),
    [
        (BucketConfig((512, 512)), (1000, 1000), (512, 512)),
        (BucketConfig((512, 512)), (3000, 2000), (640, 384)),
        (BucketConfig((512, 512)), (2000, 3000), (384, 640)),
        (BucketConfig((512, 512)), (100, 4000), (256, 1024)),
        (BucketConfig((512, 512), no_upscale=True), (500, 300), (448, 256)),
        (BucketConfig((512, 512), no_upscale=True), (3000, 2000), (576, 384)),
        (BucketConfig((512, 768), step_px=32), (512, 768), (512, 768)),
        (BucketConfig((500, 500)), (1000, 1000), (448, 448)),
    ],
)
def test_a_picture_gets_sd_scripts_bucket(
    rules: BucketConfig, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert rules.choose_size(picture) == size
    assert size[0] * size[1] <= rules.resolution_px[0] * rules.resolution_px[1]


def test_the_limits_of_buckets_are_put_on_the_grid() -> None:
    rules = BucketConfig((512, 512), min_side_px=300, max_side_px=1000).resolve_limits()
    assert (rules.min_side_px, rules.max_side_px) == (256, 1024)
    assert all(side % 64 == 0 for size in rules.list_sizes() for side in size)


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (BucketConfig((512, 512), step_px=20), "bucket_reso_steps must be a multiple of 8 pixels, not 20"),
        (BucketConfig((512, 512), min_side_px=640), "min_bucket_reso, 640 pixels, is above the resolution"),
        (BucketConfig((512, 768), max_side_px=700), "max_bucket_reso, 704 pixels, is below the resolution"),
        (BucketConfig((32, 512)), "The resolution is below bucket_reso_steps"),
    ],
)
def test_limits_that_leave_no_bucket_are_named(rules: BucketConfig, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        rules.resolve_limits()
