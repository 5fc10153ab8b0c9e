"""The trained weights are cast once a step: the same numbers as when each module casts its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gpu_worker.lora.dropout import DropoutRates, LayerDropout
from gpu_worker.lora.module_layers import build_layer
from gpu_worker.lora.parameters import LayerParameters, cast_for_step
from gpu_worker.lora.weights import HadamardWeights, LoraWeights, ModuleWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig

BF16 = torch.bfloat16
RANK = 4


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) / 4


MODULES: dict[str, tuple[Callable[[], nn.Module], ModuleWeights, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 10), LoraWeights(draw(RANK, 12), draw(10, RANK), 0.0), (3, 5, 12)),
    "convolution": (
        lambda: nn.Conv2d(6, 8, 3, padding=1),
        LoraWeights(draw(RANK, 6, 3, 3), draw(8, RANK, 1, 1), 0.0),
        (2, 6, 5, 5),
    ),
    "convolution in three parts": (
        lambda: nn.Conv2d(6, 8, 3, padding=1),
        LoraWeights(draw(RANK, 6, 1, 1), draw(8, RANK, 1, 1), 0.0, draw(RANK, RANK, 3, 3)),
        (2, 6, 5, 5),
    ),
    "LoHa": (
        lambda: nn.Linear(12, 10),
        HadamardWeights(
            {
                f"hada_w{number}_{letter}": draw(*shape)
                for number in "12"
                for letter, shape in (("a", (10, RANK)), ("b", (RANK, 12)))
            },
            0.0,
        ),
        (3, 5, 12),
    ),
}


def run_layer(
    name: str, scale: float, is_cast_once: bool, dropout: LayerDropout | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Return the output of a module with a layer, and the gradients of input and parameters."""
    build_module, weights, input_shape = MODULES[name]
    torch.manual_seed(1)
    module = build_module().to(BF16).requires_grad_(False)
    layer = build_layer(replace(weights, alpha=scale * RANK), torch.device("cpu"), BF16, True, dropout)
    assert isinstance(layer, LayerParameters)
    inputs = draw(*input_shape).to(BF16).requires_grad_()
    with cast_for_step([layer], BF16) if is_cast_once else nullcontext():
        output = checkpoint(lambda each: layer.add(module, each, module(each)), inputs, use_reentrant=False)
        (output.float() ** 2).sum().backward()
    assert layer.step_casts is None
    grads = [each.grad for each in (inputs, *layer.parameters())]
    assert all(grad is not None for grad in grads)
    assert all(grad.dtype is torch.float32 for grad in grads[1:] if grad is not None)
    return output.detach(), [grad for grad in grads if grad is not None]


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0625])
def test_a_scale_that_is_a_power_of_two_gives_the_same_bits(name: str, scale: float) -> None:
    output, grads = run_layer(name, scale, is_cast_once=True)
    plain_output, plain_grads = run_layer(name, scale, is_cast_once=False)
    assert torch.equal(output, plain_output)
    assert all(torch.equal(*pair) for pair in zip(grads, plain_grads, strict=True))


def test_another_scale_is_rounded_elsewhere_and_no_more() -> None:
    output, grads = run_layer("linear", 0.3, is_cast_once=True)
    plain_output, plain_grads = run_layer("linear", 0.3, is_cast_once=False)
    for once, plain in zip((output, *grads), (plain_output, *plain_grads), strict=True):
        assert float((once - plain).norm() / plain.norm()) < 0.01


def test_a_layer_that_dropout_leaves_out_gets_no_gradient() -> None:
    layers = []
    for rates in (DropoutRates(), DropoutRates(modules=1.0)):
        weights = MODULES["linear"][1]
        layer = build_layer(weights, torch.device("cpu"), BF16, True, LayerDropout(rates, 0))
        assert isinstance(layer, LayerParameters)
        layers.append(layer)
    module, inputs = nn.Linear(12, 10).to(BF16).requires_grad_(False), draw(3, 12).to(BF16)
    with cast_for_step(layers, BF16):
        sum(layer.add(module, inputs, module(inputs)).sum() for layer in layers).backward()  # type: ignore[union-attr]
    assert [each.parameters()[0].grad is None for each in layers] == [False, True]


def test_full_precision_needs_no_casts_and_what_is_drawn_between_steps_sees_none(tiny: BaseModel) -> None:
    state = TrainingState(tiny, TrainingConfig(rank=RANK, train_text_encoder=False))
    layer = state.adapter.get_layer(state.adapter.module_names[0])
    assert isinstance(layer, LayerParameters)
    with state.adapter.cast_for_step():
        assert layer.step_casts is None
    with cast_for_step([layer], BF16):
        assert layer.step_casts is not None
    assert layer.step_casts is None
