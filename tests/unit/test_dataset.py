"""From photos to training pictures, and their order."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from gpu_worker.dataset import Order, to_pixels
from gpu_worker.errors import BadInput

ORIENTATION = 0x0112


def as_png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def test_a_photo_becomes_its_middle_square_from_minus_one_to_one() -> None:
    image = Image.new("RGB", (300, 100), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 100))
    pixels = to_pixels(as_png(image), 64)
    assert pixels.shape == (3, 64, 64)
    assert pixels.dtype == torch.float32
    inside = pixels[:, :, 8:-8]  # scaling looks a little beyond the cut
    assert inside[0].max() < -0.95
    assert inside[2].min() > 0.95


def test_a_photo_held_sideways_is_turned_upright() -> None:
    image = Image.new("RGB", (64, 64), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 32, 64))  # white on the left ...
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # ... of a camera that lay on its side
    pixels = to_pixels(as_png(image, exif=exif), 64)
    assert pixels[0, :24].min() > 0.9
    assert pixels[0, 40:].max() < -0.9


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (80, 80)).save(file, "TIFF")
    assert to_pixels(file.getvalue(), 64).shape == (3, 64, 64)


@pytest.mark.parametrize("data", [b"", b"no picture", as_png(Image.new("RGB", (64, 64)))[:60]])
def test_what_is_no_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        to_pixels(data, 64)


def test_a_round_shows_every_photo_as_often_as_it_repeats() -> None:
    order = Order([3, 1], batch_size=1, seed=0)
    shown = [order.batch(step)[0] for step in range(8)]
    assert sorted(shown[:4]) == sorted(shown[4:]) == [0, 0, 0, 1]


def test_a_batch_may_reach_into_the_next_round() -> None:
    order = Order([1, 1, 1], batch_size=2, seed=0)
    flat = [index for step in range(3) for index in order.batch(step)]
    assert sorted(flat[:3]) == sorted(flat[3:]) == [0, 1, 2]


def test_the_order_is_a_function_of_seed_and_step_alone() -> None:
    one, other = Order([20] * 5, 1, seed=1), Order([20] * 5, 1, seed=2)
    torch.manual_seed(7)
    late_first = [one.batch(step) for step in reversed(range(40))][::-1]
    assert late_first == [Order([20] * 5, 1, seed=1).batch(step) for step in range(40)]
    assert late_first != [other.batch(step) for step in range(40)]
