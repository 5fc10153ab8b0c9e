"""What the model attends to can be joined, picked and split without a look inside."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.models.inputs.pixels import measure_crop, to_pixels
from gpu_worker.protocol import Crop


def conditioning(rows: int, tokens: int = 3) -> Conditioning:
    return Conditioning(
        {
            "prompt_embeds": torch.arange(float(rows * tokens)).view(rows, tokens, 1),
            "pooled_embeds": torch.arange(float(rows)).view(rows, 1),
        }
    )


def test_rows_that_are_split_and_joined_are_the_same() -> None:
    whole = conditioning(4)
    joined = Conditioning.cat(whole.split())
    assert len(joined) == 4
    assert all(torch.equal(joined.tensors[name], whole.tensors[name]) for name in whole.tensors)


def test_selected_rows_keep_their_order_in_every_tensor() -> None:
    picked = conditioning(4).select((3, 1))
    assert picked.tensors["pooled_embeds"].flatten().tolist() == [3.0, 1.0]
    assert picked.tensors["prompt_embeds"][:, 0, 0].tolist() == [9.0, 3.0]


def test_a_batch_key_tells_lengths_and_kinds_apart_and_counts_no_rows() -> None:
    assert conditioning(1).batch_key == conditioning(2).batch_key
    assert conditioning(1).batch_key != conditioning(1, tokens=6).batch_key
    alone = Conditioning({"prompt_embeds": conditioning(1).tensors["prompt_embeds"]})
    assert alone.batch_key != conditioning(1).batch_key


def test_precision_is_set_for_every_tensor() -> None:
    halved = conditioning(2).to(torch.device("cpu"), torch.float16)
    assert {tensor.dtype for tensor in halved.tensors.values()} == {torch.float16}


def photo_of(width: int, height: int, orientation: int = 1) -> bytes:
    """Return a picture whose red is the share of its width, and green that of its height."""
    image = Image.new("RGB", (width, height))
    image.putdata(
        [(round(255 * x / width), round(255 * y / height), 0) for y in range(height) for x in range(width)]
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (None, ImageSize((200, 100), (32, 0), (64, 64), 32)),
        (Crop(0.5, 0.0, 0.5, 1.0), ImageSize((200, 100), (64, 0), (64, 64), 0)),
        (Crop(0.25, 0.5, 0.25, 0.5), ImageSize((200, 100), (64, 64), (64, 64), 128)),
    ],
)
def test_a_crop_is_told_at_the_scale_it_is_seen_at(crop: Crop | None, expected: ImageSize) -> None:
    photo = photo_of(200, 100)
    found = measure_crop(photo, (64, 64), crop)
    assert found == expected
    # What the pixels show agrees: red grows from the left edge of what is seen.
    pixels = (to_pixels(photo, (64, 64), crop)[0] + 1) / 2
    scaled_width = found.crop_px[0] + 64 + found.crop_right_px
    assert float(pixels[:, 0].mean()) == pytest.approx(found.crop_px[0] / scaled_width, abs=0.02)


def test_a_flipped_picture_has_its_right_edge_on_the_left() -> None:
    size = ImageSize((200, 100), (10, 5), (64, 64), 30)
    assert size.flipped().crop_px == (30, 5)
    assert size.flipped().flipped() == size


def test_a_photo_that_lies_on_its_side_is_measured_upright() -> None:
    assert measure_crop(photo_of(200, 100, orientation=6), (64, 64)).original_px == (100, 200)
