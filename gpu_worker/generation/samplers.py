"""Samplers by name, each a scheduler of diffusers."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.protocol import SAMPLERS

#: Steps that LCM models are distilled from.
_LCM_STEPS = 50
#: Names as AUTOMATIC1111 writes them.
DISPLAY_NAMES = dict(zip(SAMPLERS, ("DPM++ 2M Karras", "Euler a", "UniPC", "LCM"), strict=True))


def normalize_name(name: str) -> str:
    """Return a sampler's name in lower case, the default for an empty text; BadInput if it is unknown."""
    normalized = name.lower() or SAMPLERS[0]
    if normalized not in DISPLAY_NAMES:
        raise BadInput(JobProblem.UNKNOWN_SAMPLER, name=name[:40], known=", ".join(DISPLAY_NAMES.values()))
    return normalized


def create_scheduler(name: str, scheduler_config: dict[str, Any], steps: int) -> Any:
    """Return the scheduler of one picture; it holds the state of its steps, so it cannot be shared."""
    match name:
        case "euler a":
            with warnings.catch_warnings():
                # diffusers passes tensors to numpy here, which warns of a deprecation.
                warnings.simplefilter("ignore", DeprecationWarning)
                scheduler = EulerAncestralDiscreteScheduler.from_config(scheduler_config)
        case "unipc":
            scheduler = UniPCMultistepScheduler.from_config(scheduler_config)
        case "lcm":
            # LCM picks its steps from these, and refuses more steps than there are.
            original_steps = max(_LCM_STEPS, steps)
            scheduler = LCMScheduler.from_config(scheduler_config, original_inference_steps=original_steps)
        case _:
            scheduler = DPMSolverMultistepScheduler.from_config(
                scheduler_config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
            )
    if name != "lcm":
        # Passed to numpy by each `set_timesteps`: the same warning.
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.numpy()
    return scheduler


def step(
    scheduler: Any, noise_pred: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the latents after a step. `generator` is on the CPU, so a seed is the same everywhere."""
    extra_step_kwargs = {} if isinstance(scheduler, UniPCMultistepScheduler) else {"generator": generator}
    prev_sample: Tensor = scheduler.step(
        noise_pred, timestep, latents, return_dict=False, **extra_step_kwargs
    )[0]
    return prev_sample
