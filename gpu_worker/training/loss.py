"""Noise and loss of one training step, formula by formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.training.config import Dials


@dataclass(frozen=True)
class Draw:
    """What chance settles in a step, on the model's device: (batch, 4, h, w) noise and (batch,) timesteps."""

    noise: Tensor
    times: Tensor


def draw(shape: tuple[int, ...], dials: Dials, times: int, generator: torch.Generator) -> Draw:
    """Draw noise and timesteps on the CPU from the training's own stream: the same on every card."""
    noise = torch.randn(shape, generator=generator)
    if dials.noise_offset:
        # One number for a whole channel: lets a LoRA learn pictures that are dark or bright all over.
        noise = noise + dials.noise_offset * torch.randn(*shape[:2], 1, 1, generator=generator)
    if dials.multires_noise_iterations:
        noise = _with_coarser_noises(noise, dials, generator)
    return Draw(noise, torch.randint(0, times, shape[:1], generator=generator))


def _with_coarser_noises(noise: Tensor, dials: Dials, generator: torch.Generator) -> Tensor:
    """Add noises of ever larger grain, each weaker by the discount, and bring the sum back to deviation 1."""
    height, width = noise.shape[2:]
    scale = 1.0
    for number in range(dials.multires_noise_iterations):
        factor = 2 + 2 * float(torch.rand((), generator=generator))  # 2 to 4, so that grains differ
        scale = factor**number
        coarse = (max(1, int(height / scale)), max(1, int(width / scale)))
        grain = torch.randn(*noise.shape[:2], *coarse, generator=generator)
        larger = F.interpolate(grain, size=(height, width), mode="bilinear")
        noise = noise + larger * dials.multires_noise_discount**number
        if 1 in coarse:
            break
    return noise / noise.std()


class Loss:
    """How wrong the model's answer is, as one number."""

    def __init__(self, schedule: Any, dials: Dials, device: torch.device) -> None:
        self._schedule, self._dials = schedule, dials
        self._velocity = schedule.config.prediction_type == "v_prediction"
        kept = schedule.alphas_cumprod.to(device)
        gamma = dials.min_snr_gamma
        self._time_weights = None if gamma is None else snr_weights(kept, gamma, self._velocity)

    def wanted(self, clean: Tensor, chance: Draw) -> Tensor:
        """Return what the model should have answered."""
        if self._velocity:
            velocity: Tensor = self._schedule.get_velocity(clean, chance.noise, chance.times)
            return velocity
        return chance.noise

    def __call__(
        self,
        told: Tensor,
        wanted: Tensor,
        times: Tensor,
        masks: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        `told` is the answer, fp32; `masks` (batch, 1, h, w) weighs pixels, `weights` (batch,) pictures.
        """
        losses = F.mse_loss(told, wanted, reduction="none")
        if masks is not None:
            losses = losses * masks
        losses = losses.mean(dim=(1, 2, 3))
        if weights is not None:
            losses = losses * weights
        if self._time_weights is not None:
            losses = losses * self._time_weights[times]
        return losses.mean()


def snr_weights(alphas_cumprod: Tensor, gamma: float, velocity: bool) -> Tensor:
    """Return min(SNR, gamma) / SNR for every timestep (Hang et al. 2023), so that nearly clean photos do not
    drown the rest; divided by SNR + 1 for v-prediction."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)
