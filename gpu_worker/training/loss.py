"""Noise, timesteps and loss of a training step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.models.noise.process import NoiseProcess
from gpu_worker.training.config import TrainingConfig


def sample_noise(
    shape: tuple[int, ...], config: TrainingConfig, process: NoiseProcess, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return noise of a shape (batch, channels, h, w), and timesteps (batch,).

    Both are drawn on the CPU from the training's own generator, so they are the same on every device.
    """
    noise = torch.randn(shape, generator=generator)
    if config.noise_offset:
        # One number per channel: with it a LoRA can learn images that are dark or bright all over.
        noise = noise + config.noise_offset * torch.randn(*shape[:2], 1, 1, generator=generator)
    if config.multires_noise_iterations:
        noise = _add_multires_noise(noise, config, generator)
    return noise, process.sample_timesteps(shape, generator)


def _add_multires_noise(noise: Tensor, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Add coarser noise, each weaker by the discount, and scale the sum back to a standard deviation of 1."""
    height, width = noise.shape[2:]
    scale = 1.0
    for iteration in range(config.multires_noise_iterations):
        factor = 2 + 2 * float(torch.rand((), generator=generator))  # from 2 to 4, as in sd-scripts
        scale = factor**iteration
        coarse_size = (max(1, int(height / scale)), max(1, int(width / scale)))
        coarse_noise = torch.randn(*noise.shape[:2], *coarse_size, generator=generator)
        upsampled_noise = F.interpolate(coarse_noise, size=(height, width), mode="bilinear")
        noise = noise + upsampled_noise * config.multires_noise_discount**iteration
        if 1 in coarse_size:
            break
    return noise / noise.std()


class DenoisingLoss:
    """Mean squared error of the prediction, weighted by mask, image and timestep."""

    def __init__(self, process: NoiseProcess, config: TrainingConfig, device: torch.device) -> None:
        gamma = config.min_snr_gamma
        self._timestep_weights = None if gamma is None else process.compute_snr_weights(gamma, device)

    def __call__(
        self,
        model_pred: Tensor,
        target: Tensor,
        timesteps: Tensor,
        masks: Tensor | None = None,
        loss_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, shape ().

        `model_pred` and `target` are (batch, channels, h, w) in fp32. `masks` (batch, 1, h, w) weighs
        latents, `loss_weights` (batch,) images.
        """
        losses = F.mse_loss(model_pred, target, reduction="none")
        if masks is not None:
            losses = losses * masks
        losses = losses.mean(dim=(1, 2, 3))
        if loss_weights is not None:
            losses = losses * loss_weights
        if self._timestep_weights is not None:
            losses = losses * self._timestep_weights[timesteps]
        return losses.mean()
