"""Photos as the VAE sees them: encoded once, kept while a training may need them."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from gpu_worker.dataset import Size
from gpu_worker.errors import BadInput
from gpu_worker.protocol import Crop

#: Photo sets that wait are few; a photo's latents at 512 px are 128 KiB.
MAX_KEPT = 256
#: What nobody has asked for in this time was prepared for a set that was never completed.
MAX_AGE_S = 3600.0


@dataclass(frozen=True)
class Moments:
    """Mean and spread of a picture's latents, scaled, (4, height / 8, width / 8), fp32 on the CPU."""

    mean: Tensor = field(repr=False)
    std: Tensor = field(repr=False)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return latents drawn from their distribution."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)


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
