"""Latents, and the VAE that makes pixels of them, in full precision where half overflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import NotFinite, OutOfMemory

#: After OOM the sides of tiles are so many times smaller.
_SMALL_TILE_DIVISOR = 2


@dataclass(frozen=True)
class LatentDistribution:
    """Mean and standard deviation of an image's scaled latents, each (4, h, w), fp32, on the CPU."""

    mean: Tensor = field(repr=False)
    std: Tensor = field(repr=False)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return latents drawn from the distribution, (4, h, w)."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)


@contextmanager
def on_device(vae: Any, device: torch.device, is_offloaded: bool) -> Iterator[None]:
    """Have the VAE on the device; with offload it is put back into system memory afterwards."""
    if is_offloaded:
        vae.to(device)
    try:
        yield
    finally:
        if is_offloaded:
            vae.to("cpu")


@contextmanager
def in_tiles(vae: Any, tile_side: int | None) -> Iterator[None]:
    """Let the VAE work in tiles of this side in latents; None: in one piece."""
    usual_sides = vae.tile_latent_min_size, vae.tile_sample_min_size
    if tile_side is not None:
        scale_factor = usual_sides[1] // usual_sides[0]
        vae.tile_latent_min_size, vae.tile_sample_min_size = tile_side, tile_side * scale_factor
    vae.use_tiling = tile_side is not None
    try:
        yield
    finally:
        vae.use_tiling = False  # trainings encode whole images
        vae.tile_latent_min_size, vae.tile_sample_min_size = usual_sides


def run_finite(vae: Any, run: Callable[[], Tensor]) -> Tensor:
    """Run the VAE, and once more in full precision where numbers are not finite; raises NotFinite.

    Only it is widened, and its weights are the same bits afterwards: a training beside goes on as it was.
    """
    output = run()
    dtype = vae.dtype
    if not bool(output.isfinite().all()) and dtype is not torch.float32:
        try:
            vae.to(torch.float32)
            output = run()
        except Exception as error:
            if isinstance(memory_modes.as_compute_error(error), OutOfMemory):
                raise NotFinite("a VAE overflows, and there is no memory to widen it") from error
            raise
        finally:
            vae.to(dtype)
    if not bool(output.isfinite().all()):
        raise NotFinite("the numbers of a VAE are not finite")
    return output


def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Return mean and standard deviation of unscaled latents, (2, channels, h, w), fp32."""
    posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    return torch.cat([posterior.mean, posterior.std]).float()


def decode(vae: Any, latents: Tensor, native_side: int) -> Tensor:
    """Return the pixels of unscaled latents, fp32: in tiles if they are large, in small ones after OOM."""
    tile_side = vae.tile_latent_min_size if max(latents.shape[-2:]) > native_side else None
    try:
        return _decode(vae, latents, tile_side)
    except Exception as error:
        if not isinstance(memory_modes.as_compute_error(error), OutOfMemory):
            raise
    # Not in the handler above: there the exception would keep the failed pass's tensors alive.
    if latents.device.type == "cuda":
        torch.cuda.empty_cache()
    return _decode(vae, latents, vae.tile_latent_min_size // _SMALL_TILE_DIVISOR)


def _decode(vae: Any, latents: Tensor, tile_side: int | None) -> Tensor:
    with in_tiles(vae, tile_side):
        pixels: Tensor = vae.decode(latents.to(vae.dtype)).sample
        return pixels.float()
