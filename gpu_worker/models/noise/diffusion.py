"""Diffusion: noise is mixed in by a table of alphas, and the model predicts the noise or the velocity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from gpu_worker.models.noise import samplers
from gpu_worker.models.noise.process import Img2ImgInit, find_begin_index


class Diffusion:
    """The noise of Stable Diffusion and its kin."""

    def __init__(self, scheduler_config: Mapping[str, Any], fast_timesteps: Sequence[int] = ()) -> None:
        """Take the configuration that the model was trained with, and timesteps fitted to fast pictures."""
        self.scheduler_config = dict(scheduler_config)
        self._fast_timesteps = tuple(fast_timesteps)
        self._scheduler: Any = DDPMScheduler.from_config(self.scheduler_config)

    @property
    def is_velocity(self) -> bool:
        """Whether the model predicts the velocity, not the noise."""
        return bool(self._scheduler.config.prediction_type == "v_prediction")

    @property
    def prediction_type(self) -> str:
        """What the model predicts, as LoRA files say it."""
        return "v" if self.is_velocity else "epsilon"

    def sample_timesteps(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the timesteps of a batch, (batch,), each equally likely."""
        return torch.randint(0, self._scheduler.config.num_train_timesteps, (shape[0],), generator=generator)

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

    def choose_sampler(self, name: str, is_fast: bool) -> str:
        """Return the sampler's name for a recipe; BadInput if it is unknown."""
        return samplers.choose_display_name(name, is_fast, bool(self._fast_timesteps))

    def start(
        self,
        sampler: str,
        steps: int,
        noise: Tensor,
        device: torch.device,
        img2img_init: Img2ImgInit | None = None,
    ) -> tuple[DiffusionScheduler, Tensor]:
        """Return the scheduler of a picture, and its latents before the first step."""
        scheduler = samplers.create_scheduler(
            sampler.lower(), self.scheduler_config, steps, self._fast_timesteps, device
        )
        if img2img_init is None:
            latents = noise.to(device) * scheduler.init_noise_sigma
        else:
            begin_index = find_begin_index(steps, img2img_init)
            scheduler.set_begin_index(begin_index)
            timestep = scheduler.timesteps[begin_index : begin_index + 1]
            latents = scheduler.add_noise(img2img_init[0].to(device), noise.to(device), timestep)
        return DiffusionScheduler(self, scheduler), latents

    def list_alphas(self, timesteps: Tensor) -> list[float]:
        """Return the cumulated alpha of each timestep."""
        return [float(self._scheduler.alphas_cumprod[int(timestep)]) for timestep in timesteps.cpu()]

    def predict_original(self, model_input: Tensor, model_pred: Tensor, alpha_prod_t: float) -> Tensor:
        """Return the predicted final latents (Song et al. 2021, eq. 12; velocity: Salimans and Ho 2022)."""
        if self.is_velocity:
            return model_input * math.sqrt(alpha_prod_t) - model_pred * math.sqrt(1 - alpha_prod_t)
        return (model_input - model_pred * math.sqrt(1 - alpha_prod_t)) / math.sqrt(alpha_prod_t)


class DiffusionScheduler:
    """The denoising steps of one picture, by a sampler of diffusers."""

    def __init__(self, diffusion: Diffusion, scheduler: Any) -> None:
        self._diffusion, self._scheduler = diffusion, scheduler
        #: Looked up once: in each step the program would wait for the card to say which timestep it is at.
        self._alphas = diffusion.list_alphas(self.timesteps)
        self._steps_done = 0

    @property
    def timesteps(self) -> Tensor:
        """The timesteps of the steps to take."""
        timesteps: Tensor = self._scheduler.timesteps[self._scheduler.begin_index or 0 :]
        return timesteps

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Return the latents as the model takes them."""
        model_input: Tensor = self._scheduler.scale_model_input(latents, timestep)
        return model_input

    def step(
        self, model_pred: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the latents after a step."""
        self._steps_done += 1
        return samplers.step(self._scheduler, model_pred, timestep, latents, generator)

    def predict_original(self, model_input: Tensor, model_pred: Tensor, timestep: Tensor) -> Tensor:
        """Return the final latents that a prediction leads to."""
        del timestep
        return self._diffusion.predict_original(model_input, model_pred, self._alphas[self._steps_done])
