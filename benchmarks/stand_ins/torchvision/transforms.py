"""The three transforms that turn a picture into a tensor; the meaning is torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, picture: Any) -> Any:
        """Apply them in order."""
        for transform in self.transforms:
            picture = transform(picture)
        return picture


class ToTensor:
    """A picture of bytes, height x width x channels, as channels x height x width in 0 .. 1."""

    def __call__(self, picture: Any) -> torch.Tensor:
        """Convert one."""
        values = torch.from_numpy(np.array(picture))
        if values.dim() == 2:
            values = values[..., None]
        return values.permute(2, 0, 1).contiguous().float() / 255


class Normalize:
    """Takes each channel's mean away and divides by its standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Convert one."""
        return (values - self.mean) / self.std
