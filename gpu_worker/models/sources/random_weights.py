"""Weights of the embedded models, which have learnt nothing."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

#: How far the weights of a twin are from the model's, as a share of them.
_TWIN_DISTANCE = 0.1


@torch.no_grad()
def fill_randomly(model: nn.Module, generator: torch.Generator) -> None:
    """Draw every weight so that activations keep about their scale from layer to layer."""
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(module, nn.Embedding):
            module.weight.normal_(0.0, 0.02, generator=generator)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0.0, 1 / math.sqrt(fan_in), generator=generator)
        elif isinstance(weight, nn.Parameter):  # a norm
            weight.fill_(1.0)
        if isinstance(bias, nn.Parameter):
            bias.zero_()


@torch.no_grad()
def make_twin(model: Any, generator: torch.Generator) -> Any:
    """Return a copy whose matrices are a little off the model's, as a distillation moves them."""
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        if parameter.dim() > 1:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * parameter.std() * _TWIN_DISTANCE)
    return twin
