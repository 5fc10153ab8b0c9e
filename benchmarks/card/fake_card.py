"""Real code of the worker on fake CUDA tensors, which say `cuda:0` and hold nothing.

Not seen: the CUDA context, the workspaces of cuBLAS and cuDNN, what a kernel allocates inside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import clip_grad
from torch.utils._python_dispatch import _disable_current_modes

from benchmarks.card.device_guard import lend_device_guard
from benchmarks.card.meter import CardMeter

CARD = torch.device("cuda", 0)
_aten = torch.ops.aten

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.contextmanager
def fake_card(meter: CardMeter) -> Iterator[None]:
    """Run what is inside on fake tensors, counted by the meter."""
    lend_device_guard()
    replaced: list[tuple[Any, str, Any]] = [
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (torch.cuda, "synchronize", lambda *_: None),
        (torch.cuda, "empty_cache", meter.allocator.empty_cache),
        (nn.Module, "_apply", _apply),
        (torch.Tensor, "pin_memory", lambda tensor, *_: tensor),
        (F, "scaled_dot_product_attention", _attend),
        (F, "silu", _silu),
        (torch, "_amp_update_scale_", lambda *_: None),
        (clip_grad, "_has_foreach_support", lambda *_: True),
    ]
    originals = [getattr(owner, name) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    try:
        with (
            torch.autograd.set_multithreading_enabled(False),
            FakeTensorMode(allow_non_fake_inputs=True),
            meter,
        ):
            yield
    finally:
        for (owner, name, _), original in zip(replaced, originals, strict=True):
            setattr(owner, name, original)


def _apply(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Convert parameters and buffers; torch's own would swap fake tensors, which have weak references."""
    for child in module.children() if recurse else ():
        child._apply(convert)  # type: ignore[no-untyped-call]
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(convert(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = convert(buffer)
    return module


def on_host(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that computes on real tensors inside `fake_card` too."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return run


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: object,
) -> Tensor:
    """Attend as a card of sm_50 and newer does: none of the N x N scores is kept."""
    needs_backward = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
    output: Tensor = _aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, needs_backward, dropout_p, is_causal, scale=scale
    )[0]
    return output


class _Silu(torch.autograd.Function):
    """A card has one kernel for the backward pass; without its build torch would spell it out in eight."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        output: Tensor = _aten.silu(inputs)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (inputs,) = ctx.saved_tensors
        # Stands for silu_backward: the same shapes, one kernel.
        output: Tensor = _aten.elu_backward(grad, 1, 1, 1, False, inputs)
        return output


def _silu(inputs: Tensor, inplace: bool = False) -> Tensor:
    if torch.is_grad_enabled() and inputs.requires_grad:
        output: Tensor = _Silu.apply(inputs)  # type: ignore[no-untyped-call]
        return output
    plain_output: Tensor = _aten.silu(inputs)
    return plain_output
