"""From examples to studies: every picture is encoded once, when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from gpu_worker import dataset
from gpu_worker.base_model import BaseModel
from gpu_worker.dataset import Example, Size
from gpu_worker.dials import Dials
from gpu_worker.latents import Key, LatentCache, Moments, photo_name
from gpu_worker.protocol import Crop


@dataclass(frozen=True)
class Study:
    """An example as the model gets it: latents (4, h, w), mirrored too if it is flipped, and loss weights."""

    example: Example
    latents: Tensor = field(repr=False)
    mirrored: Tensor | None = field(default=None, repr=False)
    mask: Tensor | None = field(default=None, repr=False)  #: (1, h, w), 0 .. 1


class Shelf:
    """The studies of a training. A photo that was sent ahead is there at once; another when a step needs it,
    so that a training begins before its last photo is encoded."""

    def __init__(
        self, base: BaseModel, examples: tuple[Example, ...], dials: Dials, cache: LatentCache
    ) -> None:
        """Look at every picture; BadInput when one is none."""
        self._base, self._dials, self._cache = base, dials, cache
        self.examples = examples
        self._studies: dict[int, Study] = {}
        for example in examples:
            dataset.to_pixels(example.data, self._size_px(example), example.crop)

    def __getitem__(self, index: int) -> Study:
        """Return a study, encoding its picture if nobody has yet."""
        if index not in self._studies:
            self._studies[index] = self._make(index)
        return self._studies[index]

    def _make(self, index: int) -> Study:
        example = self.examples[index]
        size_px = self._size_px(example)
        # A stream for each picture: a resumed training must see the same, whatever was needed first.
        luck = Random(f"{self._dials.seed} latents {index}").getrandbits(63)  # noqa: S311 - training noise
        stream = torch.Generator().manual_seed(luck)
        latents = moments_of(self._base, example.data, size_px, self._cache, example.crop).draw(stream)
        mirrored = None
        if example.flip:
            seen = moments_of(self._base, example.data, size_px, self._cache, example.crop, mirrored=True)
            mirrored = seen.draw(stream)
        mask = None
        if example.mask:
            mask = dataset.to_weights(example.mask, size_px, self._base.vae_scale, example.crop)
        return Study(example, latents, mirrored, mask)

    def _size_px(self, example: Example) -> Size:
        return example.size_px or (self._dials.resolution_px, self._dials.resolution_px)


def moments_of(
    base: BaseModel,
    photo: bytes,
    size_px: Size,
    cache: LatentCache,
    crop: Crop | None = None,
    mirrored: bool = False,
) -> Moments:
    """Return a photo's moments, encoding it if nobody has yet; BadInput when it is no picture."""
    key = Key(photo_name(photo), size_px, mirrored, f"{base.name} {base.dtype}", crop)
    found = cache.get(key)
    if found is None:
        pixels = dataset.to_pixels(photo, size_px, crop)
        found = base.encode(pixels.flip(-1) if mirrored else pixels)
        cache.put(key, found)
    return found
