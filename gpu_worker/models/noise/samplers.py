"""Samplers by name, each a scheduler of diffusers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy
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
#: The default sampler on the timesteps that a model family has for fast pictures.
FAST_NAME = "DPM++ 2M Align Your Steps"
#: Names as AUTOMATIC1111 writes them.
DISPLAY_NAMES = dict(zip(SAMPLERS, ("DPM++ 2M Karras", "Euler a", "UniPC", "LCM"), strict=True))


def normalize_name(name: str) -> str:
    """Return a sampler's name in lower case, the default for an empty text; BadInput if it is unknown."""
    normalized = name.lower() or SAMPLERS[0]
    if normalized not in DISPLAY_NAMES:
        raise BadInput(JobProblem.UNKNOWN_SAMPLER, name=name[:40], known=", ".join(DISPLAY_NAMES.values()))
    return normalized


def choose_display_name(name: str, is_fast: bool, has_fast_timesteps: bool) -> str:
    """Return the sampler's name for a recipe; BadInput if it is unknown. Only the default has a fast form."""
    normalized = normalize_name(name)
    if is_fast and has_fast_timesteps and normalized == SAMPLERS[0]:
        return FAST_NAME
    return DISPLAY_NAMES[normalized]


def interpolate_timesteps(timesteps: Sequence[int], steps: int) -> list[int]:
    """Return fitted timesteps, from the noisiest on, for another number of steps.

    They are interpolated linearly, as the logarithm of sigma is nearly linear in them. The authors of Align
    Your Steps interpolate that logarithm.
    """
    places = numpy.linspace(0, len(timesteps) - 1, steps)
    return [round(float(each)) for each in numpy.interp(places, range(len(timesteps)), timesteps)]


def create_scheduler(
    name: str,
    scheduler_config: dict[str, Any],
    steps: int,
    fast_timesteps: Sequence[int],
    device: torch.device,
) -> Any:
    """Return the scheduler of one picture with its timesteps set.

    It holds the state of its steps, so it cannot be shared.
    """
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
        case "ddim trailing":
            # DPM-Solver++ of first order is DDIM (Lu et al. 2022), and unlike diffusers' can begin later.
            scheduler = DPMSolverMultistepScheduler.from_config(
                scheduler_config,
                algorithm_type="dpmsolver++",
                solver_order=1,
                timestep_spacing="trailing",
                final_sigmas_type="zero" if scheduler_config.get("set_alpha_to_one", True) else "sigma_min",
            )
        case _:
            scheduler = DPMSolverMultistepScheduler.from_config(
                scheduler_config,
                algorithm_type="dpmsolver++",
                solver_order=2,
                use_karras_sigmas=name != FAST_NAME.lower(),
            )
    if name != "lcm":
        # Passed to numpy by each `set_timesteps`: the same warning.
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.numpy()
    if name == FAST_NAME.lower():
        scheduler.set_timesteps(timesteps=interpolate_timesteps(fast_timesteps, steps), device=device)
    else:
        scheduler.set_timesteps(steps, device=device)
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
