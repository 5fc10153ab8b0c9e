"""Diffusion: noise is mixed in by a table of alphas, and the model predicts the noise or the velocity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor


class Diffusion:
    """How noise is added while training, what is learnt, and what a prediction says of the picture."""

    def __init__(self, scheduler_config: Mapping[str, Any]) -> None:
        self.scheduler_config = dict(scheduler_config)
        self._scheduler: Any = DDPMScheduler.from_config(self.scheduler_config)

    @property
    def is_velocity(self) -> bool:
        """Whether the model predicts the velocity, not the noise."""
        return bool(self._scheduler.config.prediction_type == "v_prediction")

    def sample_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Return the timesteps of a batch, (count,), each equally likely."""
        return torch.randint(0, self._scheduler.config.num_train_timesteps, (count,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return latents with as much noise as each one's timestep has."""
        noisy_latents: Tensor = self._scheduler.add_noise(latents, noise, timesteps)
        return noisy_latents

    def compute_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict: the noise, or the velocity."""
        if not self.is_velocity:
            return noise
        velocity: Tensor = self._scheduler.get_velocity(latents, noise, timesteps)
        return velocity

    def compute_snr_weights(self, gamma: float, device: torch.device) -> Tensor:
        """Return the min-SNR weight of every timestep, (timesteps,), as in Hang et al. 2023.

        It is min(SNR, gamma) / SNR, and min(SNR, gamma) / (SNR + 1) for velocities. Without it, timesteps
        with little noise dominate the loss.
        """
        alphas_cumprod = self._scheduler.alphas_cumprod.to(device)
        snr = alphas_cumprod / (1 - alphas_cumprod)
        weights: Tensor = snr.clamp(max=gamma) / (snr + 1 if self.is_velocity else snr)
        return weights

    def predict_original(self, model_input: Tensor, model_pred: Tensor, timestep: Tensor) -> Tensor:
        """Return the predicted final latents (Song et al. 2021, eq. 12; velocity: Salimans and Ho 2022)."""
        alpha_prod_t = float(self._scheduler.alphas_cumprod[int(timestep)])
        if self.is_velocity:
            return model_input * math.sqrt(alpha_prod_t) - model_pred * math.sqrt(1 - alpha_prod_t)
        return (model_input - model_pred * math.sqrt(1 - alpha_prod_t)) / math.sqrt(alpha_prod_t)
