"""The training drawings: drawn once into a file, read back as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import drawn

Pixels = npt.NDArray[np.uint8]


def drawings(path: Path, count: int, side_px: int) -> Pixels:
    """Return drawings 0 .. count-1 as (count, 3, side, side), from the file where it is complete."""
    if path.exists():
        pixels: Pixels = np.load(path, mmap_mode="r")
        if pixels.shape == (count, 3, side_px, side_px):
            return pixels
    pixels = np.stack([draw_pixels(index, index, side_px) for index in range(count)])
    part = path.with_suffix(".part.npy")
    np.save(part, pixels)
    part.replace(path)
    return pixels


def draw_pixels(person_seed: int, scene_seed: int, side_px: int) -> Pixels:
    """Return one drawing as (3, side, side)."""
    picture = drawn.draw(drawn.identity(person_seed), drawn.scene(scene_seed), side_px)
    return np.asarray(picture).transpose(2, 0, 1)


def to_tensor(pixels: Pixels) -> Tensor:
    """Return pixels 0 .. 255 as floats -1 .. 1."""
    return torch.from_numpy(np.array(pixels)).float().div_(127.5).sub_(1.0)


def shuffled(count: int, batch: int, seed: int, start_step: int = 0) -> Iterator[list[int]]:
    """Yield batches of indices for ever, the same from a step on however often a run was interrupted."""
    per_round = count // batch
    step = start_step
    while True:
        round_number, within = divmod(step, per_round)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + round_number))
        for index in range(within, per_round):
            yield order[index * batch : (index + 1) * batch].tolist()
            step += 1
