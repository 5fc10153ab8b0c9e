"""Latents of training images: encoded once by the VAE when first needed, and cached."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from cachetools import TTLCache
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from gpu_worker.errors import BadInput
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs import pixels as models_pixels
from gpu_worker.models.inputs.conditioning import ImageSize
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.models.inputs.pixels import Size
from gpu_worker.protocol import Crop
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.data import TrainingImage

#: Few photo sets wait at a time. The latents of a photo at 512 px take 128 KiB.
MAX_CACHED_PHOTOS = 256
#: Latents that were not used in this time belong to a photo set that was never completed.
MAX_AGE_S = 3600.0
#: Raised when the same file becomes other pixels, so that latents on disk are made anew.
_PIXELS_VERSION = 2


@dataclass(frozen=True)
class LatentKey:
    """What identifies the latents of an image."""

    photo_hash: str  #: SHA-256 of the file, hexadecimal
    size_px: Size
    is_flipped: bool
    model: str  #: identity and precision of the base model
    crop: Crop | None = None  #: the part of the image; None: all of it

    @property
    def file_name(self) -> str:
        """The name of its file in a cache folder."""
        description = f"{_PIXELS_VERSION} {self.photo_hash} {self.size_px} {self.is_flipped} {self.model}"
        if self.crop is not None:
            description += f" {self.crop}"
        return hashlib.sha256(description.encode()).hexdigest()[:32] + ".safetensors"


def hash_photo(photo: bytes) -> str:
    """Return the SHA-256 of a photo's bytes, hexadecimal."""
    return hashlib.sha256(photo).hexdigest()


class LatentCache:
    """Latent distributions in memory, and in a folder if one is given."""

    def __init__(self, folder: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: TTLCache[LatentKey, LatentDistribution] = TTLCache(MAX_CACHED_PHOTOS, MAX_AGE_S, clock)
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: LatentKey) -> LatentDistribution | None:
        """Return the distribution of a key; None if it is not cached."""
        distribution: LatentDistribution | None = self._entries.get(key)
        if distribution is not None:
            return distribution
        return self._read_file(self._folder / key.file_name) if self._folder is not None else None

    def put(self, key: LatentKey, distribution: LatentDistribution) -> None:
        """Add a distribution; BadInput if its file cannot be written."""
        self._entries[key] = distribution
        if self._folder is not None:
            path = self._folder / key.file_name
            part_path = path.with_suffix(".part")
            try:
                part_path.write_bytes(save({"mean": distribution.mean, "std": distribution.std}))
                part_path.replace(path)
            except OSError as error:
                part_path.unlink(missing_ok=True)
                raise BadInput(f"{path} could not be written: {error.strerror}.") from error

    def drop_photos(self, photo_hashes: Iterable[str]) -> None:
        """Drop the distributions of these photos from memory."""
        hashes = set(photo_hashes)
        for key in [key for key in self._entries if key.photo_hash in hashes]:
            del self._entries[key]

    def drop_expired(self) -> None:
        """Drop what is older than MAX_AGE_S from memory."""
        self._entries.expire()

    @staticmethod
    def _read_file(path: Path) -> LatentDistribution | None:
        try:
            tensors = load_file(path)
            return LatentDistribution(tensors["mean"], tensors["std"])
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError):
            path.unlink()  # damaged: it is encoded again
            return None


@dataclass(frozen=True)
class EncodedSample:
    """A training image, encoded: latents, and those of the flipped image if `flip` is set."""

    image: TrainingImage
    size: ImageSize
    latents: Tensor = field(repr=False)
    flipped_latents: Tensor | None = field(default=None, repr=False)
    mask: Tensor | None = field(default=None, repr=False)  #: (1, h, w), 0 .. 1


class LatentDataset:
    """The encoded images of a training, each encoded when a step first needs it.

    So a training starts before its last photo is encoded. Prefetched photos are in the cache already.
    """

    def __init__(
        self, base: BaseModel, images: tuple[TrainingImage, ...], config: TrainingConfig, cache: LatentCache
    ) -> None:
        """Decode every image once; BadInput if one cannot be read."""
        self._base, self._config, self._cache = base, config, cache
        self.images = images
        self._samples: dict[int, EncodedSample] = {}
        for image in images:
            models_pixels.to_pixels(image.data, self._resolve_size_px(image), image.crop)

    def __getitem__(self, index: int) -> EncodedSample:
        """Return an encoded image; encode it now if it is the first use."""
        if index not in self._samples:
            self._samples[index] = self._encode_sample(index)
        return self._samples[index]

    def _encode_sample(self, index: int) -> EncodedSample:
        image = self.images[index]
        size_px = self._resolve_size_px(image)
        # A generator for each image, so that the order in which images are first needed changes nothing.
        seed = Random(f"{self._config.seed} latents {index}").getrandbits(63)  # noqa: S311 - training noise
        generator = torch.Generator().manual_seed(seed)
        latents = encode_photo(self._base, image.data, size_px, self._cache, image.crop).sample(generator)
        flipped_latents = None
        if image.flip:
            flipped_distribution = encode_photo(
                self._base, image.data, size_px, self._cache, image.crop, is_flipped=True
            )
            flipped_latents = flipped_distribution.sample(generator)
        mask = None
        if image.mask:
            mask = models_pixels.to_loss_mask(image.mask, size_px, self._base.vae_scale_factor, image.crop)
        size = models_pixels.measure_crop(image.data, size_px, image.crop)
        return EncodedSample(image, size, latents, flipped_latents, mask)

    def _resolve_size_px(self, image: TrainingImage) -> Size:
        return image.size_px or (self._config.resolution_px, self._config.resolution_px)


def encode_photo(
    base: BaseModel,
    photo: bytes,
    size_px: Size,
    cache: LatentCache,
    crop: Crop | None = None,
    is_flipped: bool = False,
) -> LatentDistribution:
    """Return a photo's latent distribution, from the cache or the VAE; BadInput if it cannot be read."""
    key = LatentKey(hash_photo(photo), size_px, is_flipped, f"{base.identity} {base.dtype}", crop)
    distribution = cache.get(key)
    if distribution is None:
        pixels = models_pixels.to_pixels(photo, size_px, crop)
        distribution = base.encode_image(pixels.flip(-1) if is_flipped else pixels)
        cache.put(key, distribution)
    return distribution
