"""From examples to studies: every picture is encoded once, and its latents drawn once for a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gpu_worker import dataset
from gpu_worker.base_model import BaseModel
from gpu_worker.dataset import Example, Size
from gpu_worker.dials import Dials
from gpu_worker.latents import Key, LatentCache, Moments, photo_name
from gpu_worker.lesson import Study


@dataclass(frozen=True)
class Encoded:
    """An example as the VAE sees it; mirrored too if it is shown so."""

    example: Example
    moments: Moments
    mirrored: Moments | None
    size_px: Size


def encode(base: BaseModel, example: Example, dials: Dials, cache: LatentCache) -> Encoded:
    """Encode a picture, or take what is kept of it; BadInput when it is no picture."""
    size_px = example.size_px or (dials.resolution_px, dials.resolution_px)
    mirrored = moments_of(base, example.data, size_px, cache, mirrored=True) if example.flip else None
    return Encoded(example, moments_of(base, example.data, size_px, cache), mirrored, size_px)


def moments_of(
    base: BaseModel, photo: bytes, size_px: Size, cache: LatentCache, mirrored: bool = False
) -> Moments:
    """Return a photo's moments, encoding it if nobody has yet."""
    key = Key(photo_name(photo), size_px, mirrored, f"{base.name} {base.dtype}")
    found = cache.get(key)
    if found is None:
        pixels = dataset.to_pixels(photo, size_px)
        found = base.encode(pixels.flip(-1) if mirrored else pixels)
        cache.put(key, found)
    return found


def settle(encoded: tuple[Encoded, ...], seed: int) -> tuple[Study, ...]:
    """Draw every picture's latents, from a stream of their own: a resumed training must see the same."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        Study(
            each.example,
            each.moments.draw(generator),
            each.mirrored.draw(generator) if each.mirrored else None,
            dataset.to_weights(each.example.mask, each.size_px) if each.example.mask else None,
        )
        for each in encoded
    )
