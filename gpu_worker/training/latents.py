"""Photos as the VAE sees them: encoded once, kept while a training may need them.

From examples to studies: every picture is encoded once, when it is first needed.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from gpu_worker.errors import BadInput
from gpu_worker.models import pixels as models_pixels
from gpu_worker.models.base import BaseModel
from gpu_worker.models.latents import Moments
from gpu_worker.models.pixels import Size
from gpu_worker.protocol import Crop
from gpu_worker.training.config import Dials
from gpu_worker.training.data import Example

#: Photo sets that wait are few; a photo's latents at 512 px are 128 KiB.
MAX_KEPT = 256


#: What nobody has asked for in this time was prepared for a set that was never completed.
MAX_AGE_S = 3600.0


@dataclass(frozen=True)
class Key:
    """Which picture, how large, mirrored or not, by which model."""

    photo: str  #: SHA-256 of the file, hexadecimal
    size_px: Size
    mirrored: bool
    model: str  #: name and precision of the base model
    crop: Crop | None = None  #: the part of the picture; None: all of it

    @property
    def file_name(self) -> str:
        """A name for this on disk."""
        told = f"{self.photo} {self.size_px} {self.mirrored} {self.model}"
        if self.crop is not None:
            told += f" {self.crop}"
        return hashlib.sha256(told.encode()).hexdigest()[:32] + ".safetensors"


def photo_name(photo: bytes) -> str:
    """Name a photo by its contents."""
    return hashlib.sha256(photo).hexdigest()


class LatentCache:
    """Moments in memory, the oldest dropped first; in a folder too, if one is given."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept: OrderedDict[Key, tuple[float, Moments]] = OrderedDict()
        self._folder = folder
        self._clock = clock
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Moments | None:
        """Return what is kept under a key."""
        self.drop_old()
        if key in self._kept:
            return self._kept[key][1]
        return self._read(self._folder / key.file_name) if self._folder is not None else None

    def put(self, key: Key, moments: Moments) -> None:
        """Keep moments; BadInput when the folder takes no more."""
        self.drop_old()
        self._kept[key] = (self._clock(), moments)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        if self._folder is not None:
            path = self._folder / key.file_name
            part = path.with_suffix(".part")
            try:
                part.write_bytes(save({"mean": moments.mean, "std": moments.std}))
                part.replace(path)
            except OSError as error:
                part.unlink(missing_ok=True)
                raise BadInput(f"{path} could not be written: {error.strerror}.") from error

    def forget(self, photos: Iterable[str]) -> None:
        """Drop all that is in memory of these photos."""
        gone = set(photos)
        for key in [key for key in self._kept if key.photo in gone]:
            del self._kept[key]

    def drop_old(self) -> None:
        """Drop what was kept longer than MAX_AGE_S."""
        limit = self._clock() - MAX_AGE_S
        while self._kept and next(iter(self._kept.values()))[0] < limit:
            self._kept.popitem(last=False)

    @staticmethod
    def _read(path: Path) -> Moments | None:
        try:
            tensors = load_file(path)
            return Moments(tensors["mean"], tensors["std"])
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError):
            path.unlink()  # damaged: it is made again
            return None


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
            models_pixels.to_pixels(example.data, self._size_px(example), example.crop)

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
            mask = models_pixels.to_weights(example.mask, size_px, self._base.vae_scale, example.crop)
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
        pixels = models_pixels.to_pixels(photo, size_px, crop)
        found = base.encode(pixels.flip(-1) if mirrored else pixels)
        cache.put(key, found)
    return found
