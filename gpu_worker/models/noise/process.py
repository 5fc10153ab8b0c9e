"""What trainer and denoiser ask of a base model's noise: one protocol for diffusion and flow matching."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

#: The latents of an initial image, and the denoising strength.
Img2ImgInit = tuple[Tensor, float]


class Scheduler(Protocol):
    """The denoising steps of one picture. It may hold their state, so it cannot be shared."""

    @property
    def timesteps(self) -> Tensor:
        """Return the timesteps of the steps to take, the noisiest first."""

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Return the latents as the model takes them."""

    def step(
        self, model_pred: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the latents after a step. `generator` is on the CPU, so a seed is the same everywhere."""

    def predict_original(self, model_input: Tensor, model_pred: Tensor, timestep: Tensor) -> Tensor:
        """Return the final latents that a prediction leads to."""


class NoiseProcess(Protocol):
    """How noise is added while training, what is learnt, and how a picture is denoised."""

    @property
    def prediction_type(self) -> str | None:
        """Return what the model predicts, as LoRA files say it; None: they do not."""

    def sample_timesteps(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return timesteps for latents of a shape (batch, channels, h, w), (batch,), on the CPU."""

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return latents with as much noise as each one's timestep has."""

    def compute_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the model should predict."""

    def compute_snr_weights(self, gamma: float, device: torch.device) -> Tensor:
        """Return the min-SNR weight of every timestep, (timesteps,); BadInput if there are none."""

    def choose_sampler(self, name: str, is_fast: bool) -> str:
        """Return the sampler's name for a recipe; BadInput if it cannot be had."""

    def start(
        self,
        sampler: str,
        steps: int,
        noise: Tensor,
        device: torch.device,
        img2img_init: Img2ImgInit | None = None,
    ) -> tuple[Scheduler, Tensor]:
        """Return the scheduler of a picture, and its latents before the first step.

        `noise` has the latents' shape, a standard deviation of 1, and lies on the CPU.
        """


def find_begin_index(steps: int, img2img_init: Img2ImgInit | None) -> int:
    """Return the first of the steps that is taken: an initial image keeps what earlier ones would draw."""
    return 0 if img2img_init is None else min(steps - 1, steps - round(steps * img2img_init[1]))
