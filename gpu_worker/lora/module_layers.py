"""The layer of one adapted module: its parameters on the device, and what they add to its output."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.lora.dropout import LayerDropout
from gpu_worker.lora.parameters import LayerParameters
from gpu_worker.lora.weights import (
    DOWN,
    MID,
    UP,
    HadamardWeights,
    KroneckerWeights,
    LoraWeights,
    ModuleWeights,
    SummedWeights,
    hadamard_delta,
    kronecker_factors,
)
from gpu_worker.memory.quantized_layers import get_weight_shape


class ModuleLayer(Protocol):
    """The layer of any kind of weights."""

    dropout: LayerDropout | None

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters in the order of the weights' tensors."""

    def copy_weights(self) -> ModuleWeights:
        """Return fp32 copies of the weights on the CPU."""

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus that of the layer."""

    def limit_norm(self, max_norm: float) -> None:
        """Scale the parameters so that the norm of the effect is at most so large."""


class LoraLayer(LayerParameters):
    """The layer of a LoRA."""

    def __init__(
        self,
        values: LoraWeights,
        device: torch.device,
        dtype: torch.dtype,
        is_trainable: bool,
        dropout: LayerDropout | None,
    ) -> None:
        super().__init__(values, device, dtype, is_trainable, dropout)
        self.down, self.up = self.by_suffix[DOWN], self.by_suffix[UP]
        self._mid = self.by_suffix.get(MID)
        self.scale = values.alpha / values.down.shape[0]

    def folded_scale(self, suffix: str) -> float:
        """Return the scale for `down`, whose numbers are far from the smallest ones of fp16."""
        return self.scale if suffix == DOWN else 1.0

    def copy_weights(self) -> LoraWeights:
        """Return fp32 copies of the weights on the CPU."""
        tensors = self.copy_tensors()
        return LoraWeights(tensors[DOWN], tensors[UP], self.alpha, tensors.get(MID))

    def add(
        self, module: nn.Module, inputs: Tensor, output: Tensor, rank_mask: Tensor | None = None
    ) -> Tensor:
        """Return the module's output plus the LoRA's output; a mask says where each rank acts."""
        if self.dropout is not None and self.dropout.should_skip_module():
            return output
        # Computed in the dtype of the frozen weights, as under autocast; the parameters stay fp32.
        casts, scale = self.cast(inputs.dtype), 1.0 if self.step_casts is not None else self.scale
        up = casts[UP]
        if isinstance(module, nn.Conv2d):
            hidden_states = _convolve(module, inputs, casts)
            if self.dropout is not None:
                hidden_states = self.dropout.apply(hidden_states, channel_dim=1)
            if rank_mask is not None:
                hidden_states = hidden_states * rank_mask
            return output + F.conv2d(hidden_states, up if scale == 1.0 else up * scale)
        hidden_states = F.linear(inputs, casts[DOWN])
        if self.dropout is not None:
            hidden_states = self.dropout.apply(hidden_states, channel_dim=-1)
        if rank_mask is not None:
            hidden_states = hidden_states * rank_mask
        # Product and sum in one pass over the output. In place only without gradients: otherwise autograd
        # would copy whole gradients.
        rows = output.view(-1, output.shape[-1])
        hidden_states = hidden_states.view(-1, hidden_states.shape[-1])
        if torch.is_grad_enabled():
            return rows.addmm(hidden_states, up.t(), alpha=scale).view(output.shape)
        rows.addmm_(hidden_states, up.t(), alpha=scale)
        return output

    @torch.no_grad()
    def limit_norm(self, max_norm: float) -> None:
        """Scale both matrices so that the norm of the effect is at most so large; as sd-scripts does."""
        down, up = self.down.flatten(1), self.up.flatten(1)
        if self._mid is not None:
            norm = torch.einsum("r s ..., o r, s i -> o i ...", self._mid, up, down).norm()
        else:
            # The square of |up @ down| is the sum over the product of their Gram matrices, which are small.
            norm = ((down @ down.t()) * (up.t() @ up)).sum().clamp(min=0).sqrt()
        self.multiply(_limit_ratio(norm * abs(self.scale), max_norm), (DOWN, UP))


class HadamardLayer(LayerParameters):
    """The layer of a LoHa."""

    def __init__(
        self,
        values: HadamardWeights,
        device: torch.device,
        dtype: torch.dtype,
        is_trainable: bool,
        dropout: LayerDropout | None,
    ) -> None:
        super().__init__(values, device, dtype, is_trainable, dropout)
        self.scale = values.scale

    def copy_weights(self) -> HadamardWeights:
        """Return fp32 copies of the weights on the CPU."""
        return HadamardWeights(self.copy_tensors(), self.alpha)

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus the LoHa's output."""
        if self.dropout is not None and self.dropout.should_skip_module():
            return output
        delta = hadamard_delta(self.cast(inputs.dtype)) * self.scale
        if isinstance(module, nn.Conv2d):
            kernel = delta.reshape(get_weight_shape(module))
            added = F.conv2d(inputs, kernel, None, module.stride, module.padding)
        else:
            added = F.linear(inputs, delta.flatten(1))
        return output + _drop_rows(self.dropout, module, added)

    @torch.no_grad()
    def limit_norm(self, max_norm: float) -> None:
        """Scale one factor so that the norm of the effect is at most so large; as LyCORIS does."""
        norm = hadamard_delta(self.by_suffix).norm() * abs(self.scale)
        self.multiply(_limit_ratio(norm, max_norm), ("hada_w1_a",))


class KroneckerLayer(LayerParameters):
    """The layer of a LoKr. The product is never built: w1 mixes groups of channels, w2 works in each."""

    def __init__(
        self,
        values: KroneckerWeights,
        device: torch.device,
        dtype: torch.dtype,
        is_trainable: bool,
        dropout: LayerDropout | None,
    ) -> None:
        super().__init__(values, device, dtype, is_trainable, dropout)
        self.scale = values.scale

    def copy_weights(self) -> KroneckerWeights:
        """Return fp32 copies of the weights on the CPU."""
        return KroneckerWeights(self.copy_tensors(), self.alpha)

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus the LoKr's output."""
        if self.dropout is not None and self.dropout.should_skip_module():
            return output
        w1, w2 = kronecker_factors(self.cast(inputs.dtype))
        w1 = w1 * self.scale
        if isinstance(module, nn.Conv2d):
            added = self._convolve(module, inputs, w1, w2)
        else:
            w2 = w2.flatten(1)
            groups = inputs.reshape(*inputs.shape[:-1], w1.shape[1], w2.shape[1])
            added = (w1 @ F.linear(groups, w2)).flatten(-2)
        return output + _drop_rows(self.dropout, module, added)

    def _convolve(self, module: nn.Conv2d, inputs: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
        batch_size, _, height, width = inputs.shape
        kernel = w2.reshape(w2.shape[0], -1, *get_weight_shape(module)[2:])
        groups = inputs.reshape(batch_size * w1.shape[1], -1, height, width)
        hidden_states = F.conv2d(groups, kernel, None, module.stride, module.padding)
        hidden_states = hidden_states.reshape(batch_size, w1.shape[1], *hidden_states.shape[1:])
        return torch.einsum("o g, n g c h w -> n o c h w", w1, hidden_states).flatten(1, 2)

    @torch.no_grad()
    def limit_norm(self, max_norm: float) -> None:
        """Scale all factors so that the norm of the effect is at most so large; as LyCORIS does."""
        w1, w2 = kronecker_factors(self.by_suffix)
        norm = w1.norm() * w2.norm() * abs(self.scale)
        self.multiply(_limit_ratio(norm, max_norm), tuple(self.by_suffix))


class SummedLayer:
    """Several layers on one module, for LoRAs of different kinds that are drawn with together."""

    def __init__(self, layers: list[ModuleLayer]) -> None:
        self.parts = self._layers = layers
        self.dropout: LayerDropout | None = None

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all layers."""
        return [parameter for layer in self._layers for parameter in layer.parameters()]

    def copy_weights(self) -> SummedWeights:
        """Return fp32 copies of the weights on the CPU."""
        return SummedWeights(tuple(layer.copy_weights() for layer in self._layers))

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus that of all layers."""
        for layer in self._layers:
            output = layer.add(module, inputs, output)
        return output

    def limit_norm(self, max_norm: float) -> None:
        """Limit each layer's effect."""
        for layer in self._layers:
            layer.limit_norm(max_norm)


def _convolve(module: nn.Conv2d, inputs: Tensor, casts: dict[str, Tensor]) -> Tensor:
    """Return the low-rank activations of a convolution; `mid` has the kernel where there is one."""
    if MID not in casts:
        return F.conv2d(inputs, casts[DOWN], None, module.stride, module.padding)
    return F.conv2d(F.conv2d(inputs, casts[DOWN]), casts[MID], None, module.stride, module.padding)


def build_layer(
    values: ModuleWeights,
    device: torch.device,
    dtype: torch.dtype,
    is_trainable: bool = False,
    dropout: LayerDropout | None = None,
) -> ModuleLayer:
    """Return the layer of some weights."""
    match values:
        case LoraWeights():
            return LoraLayer(values, device, dtype, is_trainable, dropout)
        case HadamardWeights():
            return HadamardLayer(values, device, dtype, is_trainable, dropout)
        case KroneckerWeights():
            return KroneckerLayer(values, device, dtype, is_trainable, dropout)
        case SummedWeights():
            return SummedLayer([build_layer(part, device, dtype) for part in values.parts])
    raise TypeError(f"there is no layer for {type(values).__name__}")


def _drop_rows(dropout: LayerDropout | None, module: nn.Module, added: Tensor) -> Tensor:
    """Return a LoHa's or LoKr's output without the rows of its effect that are dropped; as in LyCORIS."""
    if dropout is None:
        return added
    return dropout.drop_rows(added, channel_dim=1 if isinstance(module, nn.Conv2d) else -1)


def _limit_ratio(norm: Tensor, max_norm: float) -> Tensor:
    """Return what an effect of a norm is multiplied by; an effect below half the limit is left alone."""
    norm = norm.clamp(min=max_norm / 2)
    return norm.clamp(max=max_norm) / norm
