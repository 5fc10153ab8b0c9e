"""Optimizers by sd-scripts' names, each from the library that owns it, and the schedule of their rates."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from typing import Any

import torch
from diffusers.optimization import get_scheduler

from gpu_worker.errors import BadInput
from gpu_worker.training.config import Dials

#: name: (module, class, package to install, settings of ours that its library leaves open)
_OPTIMIZERS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    # fused: one pass over all matrices. Betas and decay are the class's own defaults, as in sd-scripts.
    "adamw": ("torch.optim", "AdamW", "torch", {"fused": True}),
    "adamw8bit": ("bitsandbytes.optim", "AdamW8bit", "bitsandbytes", {}),
    "prodigy": ("prodigyopt", "Prodigy", "prodigyopt", {}),
    "lion": ("lion_pytorch", "Lion", "lion-pytorch", {}),
    "adafactor": ("transformers.optimization", "Adafactor", "transformers", {"relative_step": True}),
}
NAMES = ("AdamW", "AdamW8bit", "Prodigy", "Lion", "Adafactor")
SCHEDULERS = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def build(dials: Dials, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimizer of a training; BadInput when its library is missing or a setting is wrong."""
    try:
        module, name, package, ours = _OPTIMIZERS[dials.optimizer.lower()]
    except KeyError:
        raise BadInput(f"There is no optimizer {dials.optimizer} here; choose {', '.join(NAMES)}.") from None
    try:
        maker = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BadInput(f"The optimizer {name} needs the package {package}: pip install {package}.") from error
    if dials.optimizer.lower() == "prodigy" and len({group["lr"] for group in groups}) > 1:
        raise BadInput(
            "The optimizer Prodigy takes one learning rate for UNet and text encoder, 1.0 as a rule."
        )
    settings = {**ours, **{key: _value(text) for key, text in dials.optimizer_args}}
    if dials.optimizer.lower() == "adafactor" and settings["relative_step"]:
        # It finds its own step size then, and takes none.
        groups = [{**group, "lr": None} for group in groups]
        settings["lr"] = None
    try:
        built: torch.optim.Optimizer = maker(groups, **settings)
    except (TypeError, ValueError) as error:
        raise BadInput(f"The optimizer {name} does not take these settings: {error}") from error
    return built


def class_name(dials: Dials) -> str:
    """Name the optimizer's class as sd-scripts writes it into a file's metadata."""
    module, name, _, _ = _OPTIMIZERS[dials.optimizer.lower()]
    if name == "AdamW":
        return "torch.optim.adamw.AdamW"
    return f"{module}.{name}"


def _value(text: str) -> Any:
    """Read `0.01`, `(0.9, 0.99)` or `True` as sd-scripts does, with Python's own literals."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def rate_multiplier(dials: Dials) -> Callable[[int], float]:
    """Return the schedule: what the rates are multiplied with at a step, counted from 0.

    A pure function of the step, so that a resumed training needs no memory of it.
    """
    if dials.scheduler not in SCHEDULERS:
        raise BadInput(f"There is no schedule {dials.scheduler} here; choose {', '.join(SCHEDULERS)}.")
    parameter = torch.nn.Parameter(torch.zeros(()))
    schedule = get_scheduler(
        dials.scheduler,
        torch.optim.SGD([parameter], lr=1.0),
        num_warmup_steps=dials.warm_up_steps,
        num_training_steps=dials.steps,
        num_cycles=dials.scheduler_cycles,
        power=dials.scheduler_power,
    )
    told: Callable[[int], float] = schedule.lr_lambdas[0]
    return told
