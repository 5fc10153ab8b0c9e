"""Linear layers and convolutions whose frozen weight is stored in few bits and widened for each use.

No wide copy is kept for the backward pass, which widens again: a plain cast in the forward pass would let
autograd keep what it made, and nothing would be saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.memory.quantization import dequantize, nf4_pairs, quantize


class LayerStream(Protocol):
    """Brings what is stored of layers to the card."""

    def get_codes(self, layer: QuantizedLayer, needs_backward: bool) -> tuple[Tensor, Tensor]:
        """Return codes and scales of a layer on the card."""


class QuantizedLayer(nn.Module):
    """What the two kinds of layers have in common. Biases stay wide."""

    weight_codes: Tensor
    weight_scales: Tensor
    weight_pairs: Tensor
    storage: WeightStorage
    weight_shape: torch.Size
    stream: LayerStream | None = None  #: what brings it to the card; None: it is there
    needs_backward = False  #: whether a backward pass follows the one that is computed

    def widen_weight(self, dtype: torch.dtype) -> Tensor:
        """Return the weight in a precision, a new tensor."""
        codes, scales = self.weight_codes, self.weight_scales
        if self.stream is not None:
            codes, scales = self.stream.get_codes(self, self.needs_backward)
        return dequantize(codes, scales, self.weight_pairs, self.weight_shape, dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert it as torch does, but what is streamed stays in system memory."""
        names = ("weight_codes", "weight_scales") if self.stream is not None else ()
        buffers = {name: self._buffers.pop(name) for name in names}
        try:
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        finally:
            self._buffers.update(buffers)
        return self

    def compute(self, inputs: Tensor) -> Tensor:
        """Return the layer's output."""
        raise NotImplementedError

    def compute_input_grad(self, grad: Tensor, input_shape: torch.Size) -> Tensor:
        """Return the gradient of the input."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's output; with a gradient for the input, if that is asked for."""
        self.needs_backward = torch.is_grad_enabled() and inputs.requires_grad
        if self.needs_backward:
            output: Tensor = _Compute.apply(inputs, self)  # type: ignore[no-untyped-call]
            return output
        with torch.no_grad():
            return self.compute(inputs)


class _Compute(torch.autograd.Function):
    """Keeps the layer and none of its tensors."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: QuantizedLayer) -> Tensor:
        ctx.layer, ctx.input_shape = layer, inputs.shape
        return layer.compute(inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.compute_input_grad(grad, ctx.input_shape), None


class QuantizedLinear(QuantizedLayer, nn.Linear):
    """A linear layer."""

    def compute(self, inputs: Tensor) -> Tensor:
        """Return the product."""
        return F.linear(inputs, self.widen_weight(inputs.dtype), self.bias)

    def compute_input_grad(self, grad: Tensor, input_shape: torch.Size) -> Tensor:
        """Return the product with the gradient."""
        del input_shape
        return grad.matmul(self.widen_weight(grad.dtype))


class QuantizedConv2d(QuantizedLayer, nn.Conv2d):
    """A convolution."""

    def compute(self, inputs: Tensor) -> Tensor:
        """Return the convolution."""
        weight = self.widen_weight(inputs.dtype)
        return F.conv2d(inputs, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def compute_input_grad(self, grad: Tensor, input_shape: torch.Size) -> Tensor:
        """Return the gradient by the input's shape alone; the input is not kept."""
        weight = self.widen_weight(grad.dtype)
        input_grad: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            input_shape, weight, grad, self.stride, self.padding, self.dilation, self.groups
        )
        return input_grad


_QUANTIZED: dict[type[nn.Module], type[QuantizedLayer]] = {
    nn.Linear: QuantizedLinear,
    nn.Conv2d: QuantizedConv2d,
}


def list_layers(component: nn.Module, wide_paths: Collection[str] = ()) -> Iterator[tuple[str, nn.Module]]:
    """Yield path and module of each layer that can be stored small, but those inside of `wide_paths`."""
    for path, module in component.named_modules():
        is_wide = any(path == wide or path.startswith(f"{wide}.") for wide in wide_paths)
        if not is_wide and _is_plain(module):
            yield path, module


def select_inner_paths(paths: Iterable[str], component: str) -> tuple[str, ...]:
    """Return the paths inside of a component, without its name."""
    return tuple(path.removeprefix(f"{component}.") for path in paths if path.startswith(f"{component}."))


def _is_plain(module: nn.Module) -> bool:
    """Return whether it is a linear layer or a convolution; subclasses may read their weight elsewhere."""
    if isinstance(module, QuantizedLayer) or type(module) is nn.Linear:
        return True
    return (
        type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    )


def store_components(
    components: Mapping[str, nn.Module], storage: WeightStorage, wide_paths: Collection[str]
) -> None:
    """Store the layers of components, but those components and paths that stay wide."""
    for name, component in components.items():
        if name not in wide_paths:
            store_layers(component, storage, select_inner_paths(wide_paths, name))


def store_layers(component: nn.Module, storage: WeightStorage, wide_paths: Collection[str] = ()) -> None:
    """Store a component's layers, one after the other, so that memory has one of them twice at most."""
    for _, module in list(list_layers(component, wide_paths)):
        if not isinstance(module, QuantizedLayer):
            store_layer(module, storage, module.get_parameter("weight"))
        elif module.storage is not storage:
            device = module.weight_codes.device  # system memory, if it is streamed
            store_layer(module, storage, module.widen_weight(torch.float32))
            move_codes(module, device)


@torch.no_grad()
def store_layer(module: nn.Module, storage: WeightStorage, weight: Tensor) -> None:
    """Store a weight in its layer, which stays the same object: hooks stay."""
    codes, scales = quantize(weight, storage)
    shape = weight.shape
    module._parameters.pop("weight", None)
    if not isinstance(module, QuantizedLayer):
        module.__class__ = _QUANTIZED[type(module)]
        module.register_buffer("weight_pairs", nf4_pairs(codes.device))
    module.register_buffer("weight_codes", codes)
    module.register_buffer("weight_scales", scales)
    module.storage, module.weight_shape = storage, shape  # type: ignore[assignment]


def move_codes(layer: nn.Module, device: torch.device) -> None:
    """Put what is stored of a layer elsewhere; whatever streamed it does so no more."""
    if isinstance(layer, QuantizedLayer):
        layer.weight_codes, layer.weight_scales = (
            layer.weight_codes.to(device),
            layer.weight_scales.to(device),
        )
        layer.stream = None


def count_card_bytes(component: nn.Module) -> int:
    """Return what a component takes on the card: all but what is streamed."""
    waiting = {
        tensor
        for layer in component.modules()
        if isinstance(layer, QuantizedLayer) and layer.stream is not None
        for tensor in (layer.weight_codes, layer.weight_scales)
    }
    tensors = [*component.parameters(), *component.buffers()]
    return sum(tensor.nbytes for tensor in tensors if tensor not in waiting)


def get_weight_shape(module: nn.Module) -> torch.Size:
    """Return the shape of a layer's weight, however it is stored."""
    return module.weight_shape if isinstance(module, QuantizedLayer) else module.get_parameter("weight").shape
