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
TITLES = dict(zip(SAMPLERS, ("DPM++ 2M Karras", "Euler a", "UniPC", "LCM"), strict=True))


def checked(name: str) -> str:
    """Return the name of a sampler, the default's for an empty one; BadInput when there is none like it."""
    known = name.lower() or SAMPLERS[0]
    if known not in TITLES:
        raise BadInput(f"There is no sampler {name[:40]!r}; there are {', '.join(TITLES.values())}.")
    return known


def make(name: str, scheduler_config: dict[str, Any], steps: int) -> Any:
    """Return a sampler for one picture of so many steps: it remembers the steps before."""
    match name:
        case "euler a":
            with warnings.catch_warnings():
                # diffusers hands torch's tensors to numpy here, which they answer with a deprecation warning.
                warnings.simplefilter("ignore", DeprecationWarning)
                sampler = EulerAncestralDiscreteScheduler.from_config(scheduler_config)
        case "unipc":
            sampler = UniPCMultistepScheduler.from_config(scheduler_config)
        case "lcm":
            # It takes its steps out of these, and refuses to take more.
            these = max(_LCM_STEPS, steps)
            sampler = LCMScheduler.from_config(scheduler_config, original_inference_steps=these)
        case _:
            sampler = DPMSolverMultistepScheduler.from_config(
                scheduler_config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=True
            )
    if name != "lcm":
        # Handed to numpy at each `set_timesteps`: the same warning.
        sampler.alphas_cumprod = sampler.alphas_cumprod.numpy()
    return sampler


def step(sampler: Any, told: Tensor, moment: Tensor, latents: Tensor, generator: torch.Generator) -> Tensor:
    """Take a step with what the UNet told; `generator` is on the CPU: a seed means the same everywhere."""
    extra = {} if isinstance(sampler, UniPCMultistepScheduler) else {"generator": generator}
    after: Tensor = sampler.step(told, moment, latents, return_dict=False, **extra)[0]
    return after
