"""What the denoiser attends to besides the latents; opaque to trainer and denoiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Tensors by name, each with one row a picture. Only the family that made them looks inside."""

    tensors: Mapping[str, Tensor] = field(repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def batch_key(self) -> tuple[object, ...]:
        """What two must have in common to be joined: names, and shapes without the rows."""
        return tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(self.tensors.items()))

    def select(self, rows: Sequence[int]) -> Conditioning:
        """Return some of the rows."""
        # Stacked row by row: a list of indices would have to be sent to the GPU, which waits for it.
        return Conditioning(
            {name: torch.stack([tensor[row] for row in rows]) for name, tensor in self.tensors.items()}
        )

    def split(self) -> list[Conditioning]:
        """Return each row by itself."""
        return [
            Conditioning({name: tensor[row : row + 1] for name, tensor in self.tensors.items()})
            for row in range(len(self))
        ]

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditioning:
        """Return it on a device and in a precision."""
        return Conditioning({name: tensor.to(device, dtype) for name, tensor in self.tensors.items()})

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Return the rows of several with one `batch_key`, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return Conditioning(
            {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
        )


@dataclass(frozen=True)
class ImageSize:
    """How large a picture was, which part of it is seen, and how large that is now.

    Some families are told so, so that small and cropped training pictures do not teach them to draw those.
    """

    original_px: tuple[int, int]  #: width and height of the whole picture, before it was scaled
    crop_px: tuple[int, int]  #: what is cut off left and above, after it was scaled
    target_px: tuple[int, int]  #: width and height of what is seen
    crop_right_px: int = 0  #: what is cut off right

    def flipped(self) -> ImageSize:
        """Return the size of the picture flipped horizontally."""
        left, top = self.crop_px
        return replace(self, crop_px=(self.crop_right_px, top), crop_right_px=left)
