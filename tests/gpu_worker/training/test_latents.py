"""Photos encoded ahead: the same LoRA, no second encoding, nothing kept for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.protocol import Crop
from gpu_worker.training import latents
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.latents import MAX_AGE_S, MAX_CACHED_PHOTOS, LatentCache, LatentKey, hash_photo
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import lora_of, request, same_weights

SIZE = (64, 64)


def key(number: int, photo: str = "") -> LatentKey:
    return LatentKey(photo or f"{number}", SIZE, False, "tiny")


def distribution(value: float = 0.0) -> LatentDistribution:
    return LatentDistribution(torch.full((4, 8, 8), value), torch.ones(4, 8, 8))


class Encodings:
    """Counts what the VAE encodes."""

    def __init__(self, base: BaseModel) -> None:
        self.count = 0
        self._handle = base.components["vae"].encoder.register_forward_hook(self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1

    def __enter__(self) -> Encodings:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def test_prepared_photos_are_not_encoded_again_and_give_the_same_lora(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    expected = lora_of(train(tiny, request(photos), quick))
    cache = LatentCache()
    for photo in photos[:3]:
        latents.encode_photo(tiny, photo, SIZE, cache)
    with Encodings(tiny) as encodings:
        lora = lora_of(train(tiny, request(photos), quick, cache))
    assert encodings.count == len(photos) - 3
    assert same_weights(lora, expected)


def test_latents_of_a_photo_do_not_depend_on_a_picture_drawn_before(
    tiny: BaseModel, photos: tuple[bytes, ...]
) -> None:
    side_px = tiny.native_px + 64  # as a training by hand may want it
    before = latents.encode_photo(tiny, photos[0], (side_px, side_px), LatentCache())
    tiny.decode(torch.zeros(1, 4, side_px // tiny.vae_scale_factor, side_px // tiny.vae_scale_factor))
    after = latents.encode_photo(tiny, photos[0], (side_px, side_px), LatentCache())
    assert torch.equal(after.mean, before.mean)
    assert torch.equal(after.std, before.std)


def test_a_part_that_was_prepared_is_not_encoded_again_and_another_part_is(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    part = Crop(0.1, 0.0, 0.5, 0.5)
    train_request = msgspec.structs.replace(request(photos), crops=(part,) * len(photos))
    expected = lora_of(train(tiny, train_request, quick))
    assert not same_weights(expected, lora_of(train(tiny, request(photos), quick)))
    cache, of_all = LatentCache(), LatentCache()
    for photo in photos:
        latents.encode_photo(tiny, photo, SIZE, cache, part)
        latents.encode_photo(tiny, photo, SIZE, of_all)
    with Encodings(tiny) as encodings:
        lora = lora_of(train(tiny, train_request, quick, cache))
        assert encodings.count == 0
        lora_of(train(tiny, train_request, quick, of_all))
        assert encodings.count > 0
    assert same_weights(lora, expected)
    cache.drop_photos([hash_photo(photo) for photo in photos])
    assert not len(cache)


def test_a_cache_that_is_empty_at_first_is_the_one_that_is_used(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    cache = LatentCache()
    lora_of(train(tiny, request(photos), quick, cache))
    assert len(cache) == min(quick.steps, len(photos))


def test_latents_in_a_folder_serve_the_next_run(
    tiny: BaseModel, photos: tuple[bytes, ...], tmp_path: Path
) -> None:
    first = latents.encode_photo(tiny, photos[0], SIZE, LatentCache(tmp_path))
    with Encodings(tiny) as encodings:
        second = latents.encode_photo(tiny, photos[0], SIZE, LatentCache(tmp_path))
    assert encodings.count == 0
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.std, second.std)


def test_damaged_latents_in_a_folder_are_made_again(
    tiny: BaseModel, photos: tuple[bytes, ...], tmp_path: Path
) -> None:
    first = latents.encode_photo(tiny, photos[0], SIZE, LatentCache(tmp_path))
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(latents.encode_photo(tiny, photos[0], SIZE, LatentCache(tmp_path)).mean, first.mean)


@pytest.mark.parametrize(
    "other", [{"size_px": (64, 128)}, {"is_flipped": True}, {"model": "drawn"}, {"photo_hash": "x"}]
)
def test_latents_belong_to_one_photo_size_side_and_model(other: dict[str, object]) -> None:
    cache = LatentCache()
    cache.put(key(1), distribution())
    fields: dict[str, object] = {
        "photo_hash": "1",
        "size_px": SIZE,
        "is_flipped": False,
        "model": "tiny",
        **other,
    }
    assert cache.get(LatentKey(**fields)) is None  # type: ignore[arg-type]
    assert cache.get(key(1)) is not None


def test_the_oldest_latents_make_room() -> None:
    cache = LatentCache()
    for number in range(MAX_CACHED_PHOTOS + 3):
        cache.put(key(number), distribution())
    assert len(cache) == MAX_CACHED_PHOTOS
    assert cache.get(key(2)) is None
    assert cache.get(key(3)) is not None


def test_latents_of_a_set_that_was_never_completed_are_dropped() -> None:
    now = [0.0]
    cache = LatentCache(clock=lambda: now[0])
    cache.put(key(1), distribution())
    now[0] = MAX_AGE_S - 1
    assert cache.get(key(1)) is not None
    now[0] = MAX_AGE_S + 1
    cache.drop_expired()  # a worker that is idle does this by itself
    assert len(cache) == 0
    assert cache.get(key(1)) is None


def test_forgotten_photos_leave_nothing() -> None:
    cache = LatentCache()
    name = hash_photo(b"me")
    cache.put(key(0, name), distribution())
    cache.put(key(2), distribution())
    cache.drop_photos([name])
    assert cache.get(key(0, name)) is None
    assert cache.get(key(2)) is not None
