"""A picture that is too large to decode at once is decoded in small tiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from gpu_worker.models.base import BaseModel


@contextmanager
def limited(base: BaseModel, max_side: int) -> Iterator[list[int]]:
    """Let the decoder run out of memory above a side in latents; yield the sides that it was asked for."""
    sides: list[int] = []

    def limit(_: object, given: tuple[Tensor, ...]) -> None:
        sides.append(max(given[0].shape[-2:]))
        if sides[-1] > max_side:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = base.components["vae"].decoder.register_forward_pre_hook(limit)
    try:
        yield sides
    finally:
        hook.remove()


def test_a_decode_that_runs_out_of_memory_goes_on_in_small_tiles(tiny: BaseModel) -> None:
    vae = tiny.components["vae"]
    native_side = tiny.native_px // tiny.vae_scale_factor
    latents = torch.randn(1, 4, native_side, native_side, generator=torch.Generator().manual_seed(3))
    whole = tiny.decode(latents)
    tile_sides = vae.tile_latent_min_size, vae.tile_sample_min_size
    with limited(tiny, native_side - 1) as sides:
        tiled = tiny.decode(latents)
    assert sides[0] == native_side  # first at once
    assert max(sides[1:]) == tile_sides[0] // 2
    assert tiled.shape == whole.shape
    both = torch.stack([tiled.flatten(), whole.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.8  # tiles have statistics of their own
    assert (vae.use_tiling, vae.tile_latent_min_size, vae.tile_sample_min_size) == (False, *tile_sides)


def test_a_decode_that_runs_out_of_memory_in_tiles_too_is_told(tiny: BaseModel) -> None:
    with limited(tiny, 0) as sides, pytest.raises(torch.OutOfMemoryError):
        tiny.decode(torch.zeros(1, 4, 16, 16))
    assert len(sides) == 2
    assert not tiny.components["vae"].use_tiling
