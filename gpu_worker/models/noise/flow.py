"""Flow matching: noise is mixed in on a straight line, and the model predicts its direction.

x_t = (1 - sigma) x + sigma n, and the target is n - x (Lipman et al. 2023; Liu et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.noise.process import Img2ImgInit, find_begin_index

SAMPLER_NAME = "Euler"
TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True)
class FlowConfig:
    """What one family's flow has of its own."""

    scheduler_config: Mapping[str, Any]  #: for `FlowMatchEulerDiscreteScheduler`, of pictures
    training_scheduler_config: Mapping[str, Any] | None = None  #: None: the same
    #: The logarithm of the shift while drawing, by tokens and steps; None: linear in the tokens (Flux, SD 3).
    compute_mu: Callable[[int, int], float] | None = None
    distribution: Literal["uniform", "logit-normal"] = "logit-normal"  #: of timesteps while training
    patch_side: int = 1  #: latents along a side of what the model takes for one token


class Flow:
    """The noise of models that are trained by flow matching. Timesteps are sigmas times 1000."""

    def __init__(self, config: FlowConfig) -> None:
        self._config = config
        self.scheduler_config = dict(config.scheduler_config)
        self._pictures = _fill_config(config.scheduler_config)
        self._training = _fill_config(config.training_scheduler_config or config.scheduler_config)

    @property
    def prediction_type(self) -> None:
        """Nothing: LoRA files of these families leave it out."""
        return None

    def sample_timesteps(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the timesteps of a batch, (batch,), shifted to more noise where latents are many."""
        if self._config.distribution == "uniform":
            shares = torch.rand(shape[0], generator=generator)
        else:  # Esser et al. 2024
            shares = torch.sigmoid(torch.randn(shape[0], generator=generator))
        sigmas = (TRAIN_TIMESTEPS - (shares * TRAIN_TIMESTEPS).floor()) / TRAIN_TIMESTEPS
        return shift_sigmas(sigmas, self._training_shift(shape)) * TRAIN_TIMESTEPS

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return latents with as much noise as each one's timestep has."""
        sigmas = (timesteps / TRAIN_TIMESTEPS).view(-1, 1, 1, 1)
        return (1 - sigmas) * latents + sigmas * noise

    def compute_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the direction from the latents to the noise."""
        del timesteps
        return noise - latents

    def compute_snr_weights(self, gamma: float, device: torch.device) -> Tensor:
        """Raise BadInput: the weights are made for predictions of noise."""
        raise BadInput(
            "Min-SNR weighting (--min_snr_gamma) is for diffusion; this base model is trained by "
            "flow matching, which has no such weights. Leave it out."
        )

    def choose_sampler(self, name: str, is_fast: bool) -> str:
        """Return the one sampler's name; BadInput for another."""
        del is_fast  # a distilled model is fast by itself
        if name and name.lower() != SAMPLER_NAME.lower():
            raise BadInput(JobProblem.SAMPLER_FIXED, name=name[:40], known=SAMPLER_NAME)
        return SAMPLER_NAME

    def start(
        self,
        sampler: str,
        steps: int,
        noise: Tensor,
        device: torch.device,
        img2img_init: Img2ImgInit | None = None,
    ) -> tuple[FlowScheduler, Tensor]:
        """Return the scheduler of a picture, and its latents before the first step."""
        del sampler
        sigmas = self.compute_sigmas(steps, tuple(noise.shape))[find_begin_index(steps, img2img_init) :]
        scheduler = FlowScheduler(sigmas.to(device))
        if img2img_init is None:
            return scheduler, noise.to(device)
        return scheduler, self.add_noise(
            img2img_init[0].to(device), noise.to(device), scheduler.timesteps[:1]
        )

    def compute_sigmas(self, steps: int, shape: tuple[int, ...]) -> Tensor:
        """Return the share of noise before each step and after the last, (steps + 1,), on the CPU."""
        scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(self.scheduler_config)
        tokens, compute_mu = self._count_tokens(shape), self._config.compute_mu
        mu = compute_mu(tokens, steps) if compute_mu else _linear_mu(self._pictures, tokens)
        scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist(), mu=mu)
        sigmas: Tensor = scheduler.sigmas
        return sigmas

    def _training_shift(self, shape: tuple[int, ...]) -> float:
        if not self._training.use_dynamic_shifting:
            return float(self._training.shift)
        return math.exp(_linear_mu(self._training, self._count_tokens(shape)))

    def _count_tokens(self, shape: tuple[int, ...]) -> int:
        height, width = shape[-2:]
        return (height // self._config.patch_side) * (width // self._config.patch_side)


class FlowScheduler:
    """The denoising steps of one picture: Euler's."""

    def __init__(self, sigmas: Tensor) -> None:
        self._sigmas = sigmas

    @property
    def timesteps(self) -> Tensor:
        """The timesteps of the steps to take."""
        return self._sigmas[:-1] * TRAIN_TIMESTEPS

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Return the latents as they are."""
        del timestep
        return latents

    def step(
        self, model_pred: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the latents after a step along the prediction."""
        del generator
        index = int((self.timesteps - timestep).abs().argmin())
        return latents + (self._sigmas[index + 1] - self._sigmas[index]) * model_pred

    def predict_original(self, model_input: Tensor, model_pred: Tensor, timestep: Tensor) -> Tensor:
        """Return the end of the line on which a prediction lies."""
        return model_input - timestep / TRAIN_TIMESTEPS * model_pred


def _fill_config(config: Mapping[str, Any]) -> Any:
    """Return a scheduler's configuration with its defaults."""
    scheduler: Any = FlowMatchEulerDiscreteScheduler.from_config(dict(config))
    return scheduler.config


def _linear_mu(config: Any, tokens: int) -> float:
    """Return the logarithm of the shift as Flux and SD 3 have it, linear in the tokens."""
    slope = (config.max_shift - config.base_shift) / (config.max_image_seq_len - config.base_image_seq_len)
    return float(config.base_shift + slope * (tokens - config.base_image_seq_len))


def shift_sigmas(sigmas: Tensor, shift: float) -> Tensor:
    """Return shares of noise, shifted to more noise by a factor on sigma / (1 - sigma)."""
    return shift * sigmas / (1 + (shift - 1) * sigmas)
