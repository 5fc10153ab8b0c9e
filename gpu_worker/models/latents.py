"""The latent distribution that a VAE encoder returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class LatentDistribution:
    """Mean and standard deviation of an image's scaled latents, each (4, h, w), fp32, on the CPU."""

    mean: Tensor = field(repr=False)
    std: Tensor = field(repr=False)

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return latents drawn from the distribution, (4, h, w)."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)
