"""Optimizers and learning rate schedules by the names that sd-scripts gives them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from typing import Any

import torch
from diffusers.optimization import get_scheduler

from gpu_worker.errors import BadInput
from gpu_worker.training.config import TrainingConfig

#: name: (module, class, package to install, our defaults of its arguments)
_OPTIMIZERS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    # fused: one pass over all parameters. Betas and weight decay are torch's defaults, as in sd-scripts.
    "adamw": ("torch.optim", "AdamW", "torch", {"fused": True}),
    "adamw8bit": ("bitsandbytes.optim", "AdamW8bit", "bitsandbytes", {}),
    "prodigy": ("prodigyopt", "Prodigy", "prodigyopt", {}),
    "lion": ("lion_pytorch", "Lion", "lion-pytorch", {}),
    "adafactor": ("transformers.optimization", "Adafactor", "transformers", {"relative_step": True}),
}
OPTIMIZER_NAMES = tuple(class_name for _, class_name, _, _ in _OPTIMIZERS.values())
LR_SCHEDULER_NAMES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
)


def build_optimizer(config: TrainingConfig, param_groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimizer of a training; BadInput if its package is missing or an argument is wrong."""
    try:
        module, name, package, default_args = _OPTIMIZERS[config.optimizer_type.lower()]
    except KeyError:
        raise BadInput(
            f"There is no optimizer {config.optimizer_type} here; choose {', '.join(OPTIMIZER_NAMES)}."
        ) from None
    try:
        optimizer_class = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BadInput(f"The optimizer {name} needs the package {package}: pip install {package}.") from error
    if config.optimizer_type.lower() == "prodigy" and len({group["lr"] for group in param_groups}) > 1:
        raise BadInput(
            "The optimizer Prodigy takes one learning rate for UNet and text encoder, 1.0 as a rule."
        )
    optimizer_args = {**default_args, **{key: _parse_value(text) for key, text in config.optimizer_args}}
    if config.optimizer_type.lower() == "adafactor" and optimizer_args["relative_step"]:
        # It then computes its own step size, and refuses a learning rate.
        param_groups = [{**group, "lr": None} for group in param_groups]
        optimizer_args["lr"] = None
    try:
        optimizer: torch.optim.Optimizer = optimizer_class(param_groups, **optimizer_args)
    except (TypeError, ValueError) as error:
        raise BadInput(f"The optimizer {name} does not take these settings: {error}") from error
    return optimizer


def describe_optimizer(config: TrainingConfig) -> str:
    """Return the optimizer's class and settings as sd-scripts writes them into the metadata of a file."""
    module, name, _, default_args = _OPTIMIZERS[config.optimizer_type.lower()]
    optimizer_class = getattr(importlib.import_module(module), name)
    values = {key: _parse_value(text) for key, text in config.optimizer_args}
    values |= {
        key: value for key, value in default_args.items() if key == "relative_step" and key not in values
    }
    settings = ",".join(f"{key}={value}" for key, value in values.items())
    return f"{optimizer_class.__module__}.{name}" + (f"({settings})" if settings else "")


def _parse_value(text: str) -> Any:
    """Parse `0.01`, `(0.9, 0.99)` or `True` as a Python literal, as sd-scripts does."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def build_lr_lambda(config: TrainingConfig) -> Callable[[int], float]:
    """Return the schedule: the factor of the learning rates at a step, counted from 0.

    It is a pure function of the step, so a resumed training needs no saved state of it.
    """
    if config.lr_scheduler not in LR_SCHEDULER_NAMES:
        raise BadInput(
            f"There is no schedule {config.lr_scheduler} here; choose {', '.join(LR_SCHEDULER_NAMES)}."
        )
    parameter = torch.nn.Parameter(torch.zeros(()))
    lr_scheduler = get_scheduler(
        config.lr_scheduler,
        torch.optim.SGD([parameter], lr=1.0),
        num_warmup_steps=config.lr_warmup_steps,
        num_training_steps=config.steps,
        num_cycles=config.lr_scheduler_num_cycles,
        power=config.lr_scheduler_power,
    )
    lr_lambda: Callable[[int], float] = lr_scheduler.lr_lambdas[0]
    return lr_lambda
