"""The parameters of a layer, and their casts to half precision, once a step and all together.

Module by module, in both directions, the casts were a fifth of the kernels of a step: on a
fast card starting those takes longer than their work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gpu_worker.lora.dropout import LayerDropout
from gpu_worker.lora.weights import ModuleWeights


class LayerParameters:
    """The tensors of a module's weights as parameters: in fp32 if they are trained."""

    def __init__(
        self,
        values: ModuleWeights,
        device: torch.device,
        dtype: torch.dtype,
        is_trainable: bool,
        dropout: LayerDropout | None,
    ) -> None:
        self.by_suffix = {
            suffix: nn.Parameter(
                tensor.to(device, torch.float32 if is_trainable else dtype, copy=True),
                requires_grad=is_trainable,
            )
            for suffix, tensor in values.tensors().items()
        }
        self.alpha = values.alpha
        self.dropout = dropout
        self.step_casts: dict[str, Tensor] | None = None

    def folded_scale(self, suffix: str) -> float:
        """Return what a parameter is multiplied by when it is cast for a step."""
        del suffix
        return 1.0

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters in the order of the weights' tensors."""
        return list(self.by_suffix.values())

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the parameters in the dtype of the frozen weights, as under autocast."""
        if self.step_casts is not None:
            return self.step_casts
        return {suffix: parameter.to(dtype) for suffix, parameter in self.by_suffix.items()}

    def copy_tensors(self) -> dict[str, Tensor]:
        """Return fp32 copies of the parameters on the CPU."""
        return {
            suffix: parameter.detach().to("cpu", torch.float32, copy=True)
            for suffix, parameter in self.by_suffix.items()
        }

    @torch.no_grad()
    def multiply(self, ratio: Tensor, suffixes: tuple[str, ...]) -> None:
        """Multiply the effect by a ratio, shared among these factors."""
        for suffix in suffixes:
            self.by_suffix[suffix].mul_(ratio ** (1 / len(suffixes)))


@contextmanager
def cast_for_step(layers: Sequence[LayerParameters], dtype: torch.dtype) -> Iterator[None]:
    """Have the casts inside, for one forward and backward pass; in fp32 there is nothing to cast."""
    if dtype is torch.float32:
        yield
        return
    entries = [(layer, suffix) for layer in layers for suffix in layer.by_suffix]
    scales = tuple(layer.folded_scale(suffix) for layer, suffix in entries)
    parameters = [layer.by_suffix[suffix] for layer, suffix in entries]
    casts: tuple[Tensor, ...] = _CastAll.apply(dtype, scales, *parameters)  # type: ignore[no-untyped-call]
    remaining = iter(casts)
    for layer in layers:
        layer.step_casts = {suffix: next(remaining) for suffix in layer.by_suffix}
    try:
        yield
    finally:
        for layer in layers:
            layer.step_casts = None


class _CastAll(torch.autograd.Function):
    """Multiply each parameter by its scale and cast it; gradients come back in fp32."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, scales: tuple[float, ...], *parameters: Tensor) -> Any:
        ctx.scales = scales
        ctx.set_materialize_grads(False)
        casts = [torch.empty_like(parameter, dtype=dtype) for parameter in parameters]
        torch._foreach_copy_(casts, _scale(list(parameters), scales))
        return tuple(casts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        present = [index for index, grad in enumerate(grads) if grad is not None]
        half_grads = [grad for grad in grads if grad is not None]
        full_grads = [torch.empty_like(grad, dtype=torch.float32) for grad in half_grads]
        torch._foreach_copy_(full_grads, half_grads)
        outputs: list[Tensor | None] = [None] * len(grads)
        for index, grad in zip(present, _scale(full_grads, [ctx.scales[i] for i in present]), strict=True):
            outputs[index] = grad
        return None, None, *outputs


def _scale(tensors: list[Tensor], scales: Sequence[float]) -> list[Tensor]:
    """Return the tensors with those multiplied whose scale is not 1; both lists are of one length."""
    scaled_indices = [index for index, scale in enumerate(scales) if scale != 1.0]
    if not scaled_indices:
        return tensors
    products = torch._foreach_mul(
        [tensors[index] for index in scaled_indices], [scales[index] for index in scaled_indices]
    )
    outputs = list(tensors)
    for index, product in zip(scaled_indices, products, strict=True):
        outputs[index] = product
    return outputs
