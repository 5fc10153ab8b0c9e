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


def load_drawings(path: Path, count: int, side_px: int) -> Pixels:
    """Return drawings 0 .. count-1 as (count, 3, side, side), from the file where it is complete."""
    if path.exists():
        pixels: Pixels = np.load(path, mmap_mode="r")
        if pixels.shape == (count, 3, side_px, side_px):
            return pixels
    pixels = np.stack([draw_pixels(index, index, side_px) for index in range(count)])
    part_path = path.with_suffix(".part.npy")
    np.save(part_path, pixels)
    part_path.replace(path)
    return pixels


def draw_pixels(person_seed: int, scene_seed: int, side_px: int) -> Pixels:
    """Return one drawing as (3, side, side)."""
    picture = drawn.draw(drawn.identity(person_seed), drawn.scene(scene_seed), side_px)
    return np.asarray(picture).transpose(2, 0, 1)


def to_tensor(pixels: Pixels) -> Tensor:
    """Return pixels 0 .. 255 as floats -1 .. 1."""
    return torch.from_numpy(np.array(pixels)).float().div_(127.5).sub_(1.0)


def iterate_batches(count: int, batch_size: int, seed: int, start_step: int = 0) -> Iterator[list[int]]:
    """Yield batches of indices for ever, the same from a step on however often a run was interrupted."""
    batches_per_epoch = count // batch_size
    step = start_step
    while True:
        epoch, first_index = divmod(step, batches_per_epoch)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch))
        for index in range(first_index, batches_per_epoch):
            yield order[index * batch_size : (index + 1) * batch_size].tolist()
            step += 1
