"""What the VAE makes of a picture: a distribution of latents."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentDistribution:
    """Mean and spread of a picture's latents, scaled, (4, height / 8, width / 8), fp32 on the CPU."""

    mean: Tensor = field(repr=False)
    std: Tensor = field(repr=False)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return latents drawn from their distribution."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)
