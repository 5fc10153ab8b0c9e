"""Finished pictures become files in a thread, while the next ones are denoised."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor

from gpu_worker.device import placement
from gpu_worker.generation.image_file import Recipe
from gpu_worker.models.base import BaseModel

#: Makes a file of pixels, (1, 3, height, width), their recipe and the factor by which they are enlarged.
EncodePng: TypeAlias = Callable[[Tensor, Recipe, int], bytes]


def can_decode_beside(base: BaseModel) -> bool:
    """Return whether a picture may be decoded while others are denoised.

    On a card with as much free memory as a training takes beside its weights. Processors would share their
    cores, and finish no sooner.
    """
    usable_bytes = placement.read_usable_memory(base.device)
    if usable_bytes is None or base.memory_mode.vae_offload:
        return False
    return usable_bytes >= base.family.memory.working_bytes(base.dtype.itemsize)


class PictureFiles:
    """The files of one request. One thread makes them, so that few pixels wait in memory."""

    def __init__(self, base: BaseModel, encode_png: EncodePng, decodes_beside: bool) -> None:
        self._base, self._encode_png, self._decodes_beside = base, encode_png, decodes_beside
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="picture-files")
        self._files: dict[int, Future[bytes]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, index: int) -> bool:
        return index in self._files

    def add(self, index: int, latents: Tensor, recipe: Recipe) -> None:
        """Decode the finished latents of a picture and write its file; both in the thread, if that may be.

        Raises NotFinite, now or in `collect`.
        """
        if self._decodes_beside:
            self._files[index] = self._executor.submit(self._decode_and_encode, latents, recipe)
        else:
            self._files[index] = self._executor.submit(self._encode, self._base.decode(latents), recipe)

    def collect(self) -> tuple[bytes, ...]:
        """Return the files in the order of their index; raise the error that one ended with."""
        return tuple(self._files[index].result() for index in sorted(self._files))

    def close(self) -> None:
        """Wait for the file that is being made, and make no other."""
        self._executor.shutdown(cancel_futures=True)

    def _decode_and_encode(self, latents: Tensor, recipe: Recipe) -> bytes:
        # The latents are there: the denoiser waits for the card after each step.
        if latents.device.type != "cuda":
            return self._encode(self._base.decode(latents), recipe)
        stream = torch.cuda.Stream(latents.device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            return self._encode(self._base.decode(latents), recipe)

    def _encode(self, pixels: Tensor, recipe: Recipe) -> bytes:
        return self._encode_png(pixels, recipe, self._base.family.sampling.upscale_factor)
