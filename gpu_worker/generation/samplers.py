"""Ways from noise to picture, by name; the arithmetic is diffusers'."""

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

from gpu_worker.errors import BadInput
from gpu_worker.protocol import SAMPLERS

#: Steps that models for LCM are taught with.
_LCM_STEPS = 50
#: As AUTOMATIC1111 writes them.
DISPLAY_NAMES = dict(zip(SAMPLERS, ("DPM++ 2M Karras", "Euler a", "UniPC", "LCM"), strict=True))


def normalize_name(name: str) -> str:
    """Return the name of a sampler, the default's for an empty one; BadInput when there is none like it."""
    normalized = name.lower() or SAMPLERS[0]
    if normalized not in DISPLAY_NAMES:
        raise BadInput(f"There is no sampler {name[:40]!r}; there are {', '.join(DISPLAY_NAMES.values())}.")
    return normalized


def create_scheduler(name: str, scheduler_config: dict[str, Any], steps: int) -> Any:
    """Return a sampler for one picture of so many steps: it remembers the steps before."""
    match name:
        case "euler a":
            with warnings.catch_warnings():
                # diffusers hands torch's tensors to numpy here, which they answer with a deprecation warning.
                warnings.simplefilter("ignore", DeprecationWarning)
                scheduler = EulerAncestralDiscreteScheduler.from_config(scheduler_config)
        case "unipc":
            scheduler = UniPCMultistepScheduler.from_config(scheduler_config)
        case "lcm":
            # It takes its steps out of these, and refuses to take more.
            original_steps = max(_LCM_STEPS, steps)
            scheduler = LCMScheduler.from_config(scheduler_config, original_inference_steps=original_steps)
        case _:
            scheduler = DPMSolverMultistepScheduler.from_config(
                scheduler_config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
            )
    if name != "lcm":
        # Handed to numpy at each `set_timesteps`: the same warning.
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.numpy()
    return scheduler


def step(
    scheduler: Any, noise_pred: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
) -> Tensor:
    """Take a step with what the UNet told; `generator` is on the CPU: a seed means the same everywhere."""
    extra_step_kwargs = {} if isinstance(scheduler, UniPCMultistepScheduler) else {"generator": generator}
    prev_sample: Tensor = scheduler.step(
        noise_pred, timestep, latents, return_dict=False, **extra_step_kwargs
    )[0]
    return prev_sample
