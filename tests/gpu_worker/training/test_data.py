"""From photos to training pictures, and their order."""

from __future__ import annotations

import io
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bot.media.decoding import decode_photo
from gpu_worker.errors import BadInput
from gpu_worker.models.inputs.pixels import Size, to_loss_mask, to_pixels
from gpu_worker.protocol import Crop
from gpu_worker.training.data import BatchSampler, CaptionRules, TrainingImage, balance_repeats

ORIENTATION = 0x0112


def as_png(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def test_a_photo_becomes_its_middle_square_from_minus_one_to_one() -> None:
    image = Image.new("RGB", (300, 100), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 100))
    pixels = to_pixels(as_png(image), (64, 64))
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
    pixels = to_pixels(as_png(image, exif=exif), (64, 64))
    assert pixels[0, :24].min() > 0.9
    assert pixels[0, 40:].max() < -0.9


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (80, 80)).save(file, "TIFF")
    assert to_pixels(file.getvalue(), (64, 64)).shape == (3, 64, 64)


def torn_png() -> bytes:
    """Return an image whose first block of pixels has a wrong length."""
    whole = as_png(Image.frombytes("L", (64, 64), Random(1).randbytes(64 * 64)))
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big") - 20
    return whole[: at - 4] + length.to_bytes(4, "big") + whole[at:]


@pytest.mark.parametrize("data", [b"", b"no picture", as_png(Image.new("RGB", (64, 64)))[:60], torn_png()])
def test_damaged_image_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        to_pixels(data, (64, 64))


def examples(*repeats: int, sizes: tuple[Size | None, ...] = ()) -> tuple[TrainingImage, ...]:
    sizes = sizes or (None,) * len(repeats)
    return tuple(
        TrainingImage(b"", "sks", times, size_px=size) for times, size in zip(repeats, sizes, strict=True)
    )


def test_epoch_has_every_photo_as_often_as_it_repeats() -> None:
    order = BatchSampler(examples(3, 1), batch_size=1, seed=0)
    shown = [order.get_batch(step)[0] for step in range(8)]
    assert sorted(shown[:4]) == sorted(shown[4:]) == [0, 0, 0, 1]


def test_the_last_batch_of_a_round_may_be_smaller() -> None:
    order = BatchSampler(examples(1, 1, 1), batch_size=2, seed=0)
    assert order.batches_per_epoch == 2
    for first in (0, 2):
        batches = [order.get_batch(first), order.get_batch(first + 1)]
        assert sorted(len(batch) for batch in batches) == [1, 2]
        assert sorted(index for batch in batches for index in batch) == [0, 1, 2]


def test_a_batch_holds_pictures_of_one_size_only() -> None:
    sizes = ((512, 512), (384, 640), (512, 512), (384, 640))
    order = BatchSampler(examples(3, 2, 2, 3, sizes=sizes), batch_size=2, seed=5)
    for number in range(order.batches_per_epoch):
        assert len({sizes[index] for index in order.get_batch(number)}) == 1


def test_the_order_is_a_function_of_seed_and_step_alone() -> None:
    one, other = BatchSampler(examples(*[20] * 5), 1, seed=1), BatchSampler(examples(*[20] * 5), 1, seed=2)
    torch.manual_seed(7)
    late_first = [one.get_batch(step) for step in reversed(range(200))][::-1]
    assert late_first == [BatchSampler(examples(*[20] * 5), 1, seed=1).get_batch(step) for step in range(200)]
    assert late_first != [other.get_batch(step) for step in range(200)]


def test_a_training_begins_without_the_photo_that_came_last() -> None:
    for seed in range(20):
        order = BatchSampler(examples(*[300] * 5), batch_size=1, seed=seed)
        assert order.get_batch(0) != [4]
        assert sorted(order.get_batch(step)[0] for step in range(1500)) == sorted([0, 1, 2, 3, 4] * 300)


def test_regularisation_pictures_come_as_often_in_all_as_the_others() -> None:
    subject = TrainingImage(b"", "sks person", repeats=7)
    regularisation = [TrainingImage(b"", "person", repeats=2, is_regularisation=True) for _ in range(2)]
    assert balance_repeats((subject, *regularisation)) == [7, 4, 3]


def test_more_regularisation_pictures_than_needed_are_not_all_shown() -> None:
    regularisation = [TrainingImage(b"", "person", is_regularisation=True) for _ in range(5)]
    assert balance_repeats((TrainingImage(b"", "sks person", repeats=3), *regularisation)) == [
        3,
        1,
        1,
        1,
        0,
        0,
    ]


def test_a_caption_keeps_its_first_parts_and_shuffles_the_rest() -> None:
    rules = CaptionRules(shuffle=True, keep_tokens=1)
    example = TrainingImage(b"", "sks person, red hat, smiling, beach", caption_rules=rules)
    captions = {example.sample_caption(Random(seed)) for seed in range(40)}
    assert len(captions) == 6
    assert all(caption.startswith("sks person, ") for caption in captions)


def test_a_caption_is_left_out_as_often_as_asked() -> None:
    example = TrainingImage(b"", "sks person", caption_rules=CaptionRules(dropout_rate=0.25))
    rng = Random(1)
    empty = sum(example.sample_caption(rng) == "" for _ in range(2000))
    assert 430 < empty < 570


def test_a_mask_becomes_weights_on_the_latents_grid() -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    weights = to_loss_mask(as_png(mask), (64, 64), vae_scale_factor=8)
    assert weights.shape == (1, 8, 8)
    assert weights[0, :, :4].eq(1).all()
    assert weights[0, :, 4:].eq(0).all()


def test_cropped_photo_shows_only_its_crop() -> None:
    picture = Image.new("RGB", (200, 100), "black")
    picture.paste("white", (150, 0, 200, 50))
    part = Crop(left=0.75, top=0.0, width=0.25, height=0.5)
    assert torch.equal(to_pixels(as_png(picture), (64, 64), part), torch.ones(3, 64, 64))
    assert to_pixels(as_png(picture), (64, 64)).mean() < 0


def test_empty_crop_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing left"):
        to_pixels(as_png(Image.new("RGB", (64, 64))), (64, 64), Crop(0.5, 0.5, 0.0, 0.0))


def cut_out(hidden_colour: tuple[int, int, int]) -> Image.Image:
    """Return a red square on a clear ground of a hidden colour."""
    image = Image.new("RGBA", (300, 300), (*hidden_colour, 0))
    image.paste((200, 30, 30, 255), (100, 100, 200, 200))
    return image


def palette_cut_out() -> Image.Image:
    image = Image.new("P", (300, 300), 0)
    image.putpalette([0, 0, 0, 200, 30, 30])
    image.paste(1, (100, 100, 200, 200))
    image.info["transparency"] = 0
    return image


ODD_PICTURES = {
    "clear over black": cut_out((0, 0, 0)),
    "clear over green": cut_out((0, 255, 0)),
    "clear colour of a palette": palette_cut_out(),
    "clear colour of grey": Image.new("L", (300, 300), 100),
    "grey, half clear": Image.new("LA", (300, 300), (100, 128)),
    "16-bit grey": Image.fromarray(np.full((300, 300), 32768, "uint16")),
    "16-bit grey, clear": Image.fromarray(np.full((300, 300), 32768, "uint16")),
    "1 bit": Image.new("1", (300, 300), 1),
}
CLEAR_COLOURS = {"clear colour of grey": 100, "16-bit grey, clear": 32768}
OPTIONS: dict[str, dict[str, object]] = {
    name: {"transparency": colour} for name, colour in CLEAR_COLOURS.items()
}


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_a_picture_trains_on_the_pixels_that_the_bot_would_keep(kind: str) -> None:
    data = as_png(ODD_PICTURES[kind], **OPTIONS.get(kind, {}))
    by_hand, by_bot = to_pixels(data, (256, 256)), to_pixels(decode_photo(data).data, (256, 256))
    assert (by_hand - by_bot).abs().max() < 0.1  # the gate's JPEG


def test_transparent_pixels_become_white_and_16_bits_of_grey_are_scaled() -> None:
    corner = to_pixels(as_png(cut_out((0, 255, 0))), (256, 256))[:, 0, 0]
    assert corner.tolist() == [1.0, 1.0, 1.0]
    grey = to_pixels(as_png(ODD_PICTURES["16-bit grey"]), (64, 64))
    assert grey.abs().max() < 0.01


def test_a_mask_of_16_bits_is_scaled() -> None:
    mask = to_loss_mask(as_png(ODD_PICTURES["16-bit grey"]), (64, 64), 8)
    assert mask.max() < 0.51


def test_a_step_of_accumulated_batches_ends_with_its_epoch() -> None:
    images = tuple(TrainingImage(b"", str(index)) for index in range(5))
    sampler = BatchSampler(images, batch_size=1, seed=1)
    assert sampler.steps_per_epoch(2) == 3
    assert [list(sampler.list_batch_numbers(step, 2)) for step in range(4)] == [[0, 1], [2, 3], [4], [5, 6]]
    # So an epoch shows every image once, however many batches a step has.
    shown = [
        index
        for step in range(3)
        for number in sampler.list_batch_numbers(step, 2)
        for index in sampler.get_batch(number)
    ]
    assert sorted(shown) == [0, 1, 2, 3, 4]


RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def as_tiff(values: np.ndarray[tuple[int, ...], np.dtype[Any]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        pytest.param(RAMP.astype(np.float32), 0.0, id="fractions"),
        pytest.param((RAMP * 255).astype(np.float32), 0.0, id="fractions of 255"),
        pytest.param((RAMP * 65535).astype(np.float32), 0.0, id="fractions of 65,535"),
        pytest.param((RAMP * 1.1 - 0.05).astype(np.float32), 0.0, id="overshooting"),
        pytest.param((RAMP * 255).astype(np.int32), 0.0, id="8 bits in 32"),
        pytest.param((RAMP * 65535).astype(np.int32), 0.0, id="16 bits in 32"),
        pytest.param((RAMP * 65535).astype(np.uint16), 0.0, id="16 bits"),
        pytest.param((RAMP * 0.1).astype(np.float32), -0.9, id="dark"),
    ],
)
def test_numbers_without_a_range_are_scaled_by_the_brightest(
    values: np.ndarray[tuple[int, ...], np.dtype[Any]], mean: float
) -> None:
    pixels = to_pixels(as_tiff(values), (64, 64))
    assert float(pixels.mean()) == pytest.approx(mean, abs=0.01)
    assert (float(pixels.min()), float(pixels.max())) == pytest.approx(
        (-1, 1 if mean == 0 else -0.8), abs=0.02
    )


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_picture_whose_numbers_are_not_finite_is_refused(number: float) -> None:
    values = RAMP.astype(np.float32)
    values[0, 0] = number
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        to_pixels(as_tiff(values), (64, 64))
