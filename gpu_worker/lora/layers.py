"""LoRA adapters on the frozen base model.

Every module that a LoRA may adapt carries a slot, a forward hook that adds what the active LoRA says. So the
base model's modules are never wrapped or changed, and switching from one LoRA to another is setting a
few hundred references. Several adapters exist at once (a training and a generation, interleaved in one
thread), so whoever runs the model says first whose turn it is: `activate` before every step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.errors import BadInput
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget


@dataclass(frozen=True)
class LoraWeights:
    """The two fp32 matrices of one module, W + alpha/rank * up @ down, with its alpha."""

    down: Tensor
    up: Tensor
    alpha: float


@dataclass(frozen=True)
class DropoutRates:
    """What is left out at random in a training step; each a share from 0 to 1, see `Dials`."""

    activations: float = 0.0
    rank: float = 0.0
    modules: float = 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether anything is ever left out."""
        return bool(self.activations or self.rank or self.modules)


def init_lora_weights(
    targets: tuple[LoraTarget, ...], rank: int, alpha: float, generator: torch.Generator
) -> dict[str, LoraWeights]:
    """Return the start of a training by kohya name: `down` as kohya draws it, `up` zero, so no effect yet."""
    weights = {}
    for target in targets:
        out_features, in_features, *kernel_size = target.weight_shape
        bound = 1 / math.sqrt(in_features * math.prod(kernel_size))  # kaiming_uniform_(a=sqrt(5))
        down = torch.empty(rank, in_features, *kernel_size).uniform_(-bound, bound, generator=generator)
        weights[target.kohya_name] = LoraWeights(
            down, torch.zeros(out_features, rank, *(1 for _ in kernel_size)), alpha
        )
    return weights


class Adapter:
    """One LoRA on the base model: it has an effect while it is the active one."""

    def __init__(
        self,
        base: BaseModel,
        weights: Mapping[str, LoraWeights],
        is_trainable: bool = False,
        dropout_rates: DropoutRates | None = None,
    ) -> None:
        """Bring the matrices to the base model's device; BadInput when they do not fit it.

        One that trains keeps fp32 matrices with gradients; others take the base model's precision.
        """
        check_fit(base, weights)
        self._base = base
        self._layers = {
            name: LoraLayer(
                base,
                values,
                is_trainable,
                LoraDropout(dropout_rates, index) if dropout_rates and dropout_rates.is_enabled else None,
            )
            for index, (name, values) in enumerate(weights.items())
        }

    def activate(self) -> None:
        """Make this the only adapter that has an effect."""
        lora_hooks = self._base.lora_hooks
        if lora_hooks.active_adapter is not self:
            for name, hook in lora_hooks.by_name.items():
                hook.active_delta = self._layers.get(name)
            lora_hooks.active_adapter = self

    def parameters(self, prefix: str = "") -> list[nn.Parameter]:
        """Return the matrices of the modules whose kohya name starts with the prefix."""
        return [
            matrix
            for name, layer in self._layers.items()
            if name.startswith(prefix)
            for matrix in (layer.down, layer.up)
        ]

    def copy_weights(self) -> dict[str, LoraWeights]:
        """Return fp32 copies of the matrices as they are now, on the CPU, by kohya name."""
        return {
            name: LoraWeights(
                layer.down.detach().to("cpu", torch.float32, copy=True),
                layer.up.detach().to("cpu", torch.float32, copy=True),
                layer.alpha,
            )
            for name, layer in self._layers.items()
        }

    @property
    def has_dropout(self) -> bool:
        """Whether anything is left out at random while it trains."""
        return any(layer.dropout is not None for layer in self._layers.values())

    def seed_dropout(self, seed: int) -> None:
        """Settle what the next step leaves out."""
        for layer in self._layers.values():
            if layer.dropout is not None:
                layer.dropout.seed = seed

    def get_layer(self, name: str) -> LoraLayer | None:
        """Return what it does at a module; None when it leaves that alone."""
        return self._layers.get(name)

    def deactivate(self) -> None:
        """End its effect; the base model is itself again."""
        if self._base.lora_hooks.active_adapter is self:
            deactivate_all(self._base)


class BatchedAdapters:
    """Several adapters at once, each on its own rows of a batch; None leaves its rows as they are."""

    def __init__(self, base: BaseModel, adapter_rows: Sequence[tuple[Adapter | None, int]]) -> None:
        """Take adapters and how many rows each has, in the batch's order."""
        self._base, self._adapter_rows = base, adapter_rows

    def activate(self) -> None:
        """Make each adapter have its effect on its rows, and no other have any."""
        lora_hooks = self._base.lora_hooks
        row_counts = [count for _, count in self._adapter_rows]
        for name, hook in lora_hooks.by_name.items():
            layers = [adapter.get_layer(name) if adapter else None for adapter, _ in self._adapter_rows]
            hook.active_delta = BatchedLayers(layers, row_counts) if any(layers) else None
        lora_hooks.active_adapter = self


def deactivate_all(base: BaseModel) -> None:
    """Run the base model as it is."""
    if base.lora_hooks.active_adapter is not None:
        for slot in base.lora_hooks.by_name.values():
            slot.active_delta = None
        base.lora_hooks.active_adapter = None


class BatchedLayers:
    """One module's pairs of a mixture."""

    def __init__(self, layers: Sequence[LoraLayer | None], row_counts: Sequence[int]) -> None:
        self._pairs, self._row_counts = layers, list(row_counts)

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output, each pair's part added to its rows."""
        input_rows, output_rows = torch.split(inputs, self._row_counts), torch.split(output, self._row_counts)
        row_groups = zip(self._pairs, input_rows, output_rows, strict=True)
        return torch.cat(
            [
                row_output if layer is None else layer.add(module, row_inputs, row_output)
                for layer, row_inputs, row_output in row_groups
            ]
        )


class LoraLayer:
    """The two matrices of one module, at work."""

    def __init__(
        self, base: BaseModel, values: LoraWeights, is_trainable: bool, dropout: LoraDropout | None
    ) -> None:
        tensor_options: Any = {"device": base.device, "dtype": torch.float32 if is_trainable else base.dtype}
        self.down = nn.Parameter(values.down.to(**tensor_options, copy=True), requires_grad=is_trainable)
        self.up = nn.Parameter(values.up.to(**tensor_options, copy=True), requires_grad=is_trainable)
        self.alpha = values.alpha
        self.scale = values.alpha / values.down.shape[0]
        self.dropout = dropout

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output with the LoRA's part added."""
        if self.dropout is not None and self.dropout.should_skip_module():
            return output
        # In the precision of the frozen weights, as under autocast; the masters stay fp32.
        down, up = self.down.to(inputs.dtype), self.up.to(inputs.dtype)
        if isinstance(module, nn.Conv2d):
            hidden_states = F.conv2d(inputs, down, None, module.stride, module.padding)
            if self.dropout is not None:
                hidden_states = self.dropout.apply(hidden_states, channel_dim=1)
            return output + F.conv2d(hidden_states, up * self.scale)
        hidden_states = F.linear(inputs, down)
        if self.dropout is not None:
            hidden_states = self.dropout.apply(hidden_states, channel_dim=-1)
        # Product and sum in one pass over the output; in place where no gradient is wanted, since autograd
        # would copy whole gradients for it.
        rows, hidden_states = (
            output.view(-1, output.shape[-1]),
            hidden_states.view(-1, hidden_states.shape[-1]),
        )
        if torch.is_grad_enabled():
            return rows.addmm(hidden_states, up.t(), alpha=self.scale).view(output.shape)
        rows.addmm_(hidden_states, up.t(), alpha=self.scale)
        return output


class LoraDropout:
    """One module's dropout. A function of seed and module, so that recomputing a layer draws the same."""

    def __init__(self, rates: DropoutRates, index: int) -> None:
        self._rates, self._index = rates, index
        self.seed = 0

    def should_skip_module(self) -> bool:
        """Whether this module has no LoRA in this step."""
        return bool(
            torch.rand((), generator=self._create_generator(torch.device("cpu"))) < self._rates.modules
        )

    def apply(self, hidden_states: Tensor, channel_dim: int) -> Tensor:
        """Drop activations and dimensions of the rank; what is left grows, so that the mean stays."""
        generator = self._create_generator(hidden_states.device)
        if self._rates.activations:
            hidden_states = hidden_states * _build_dropout_mask(
                hidden_states.shape, self._rates.activations, generator, hidden_states
            )
        if self._rates.rank:
            shape = [1] * hidden_states.dim()
            shape[0], shape[channel_dim] = hidden_states.shape[0], hidden_states.shape[channel_dim]
            hidden_states = hidden_states * _build_dropout_mask(
                tuple(shape), self._rates.rank, generator, hidden_states
            )
        return hidden_states

    def _create_generator(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed * 1_009 + self._index)


def _build_dropout_mask(
    shape: tuple[int, ...], rate: float, generator: torch.Generator, reference: Tensor
) -> Tensor:
    mask = torch.rand(shape, generator=generator, device=reference.device) >= rate
    return mask.to(reference.dtype) / (1 - rate)


def check_fit(base: BaseModel, weights: Mapping[str, LoraWeights]) -> None:
    """Raise BadInput unless every module of the LoRA is in the base model and of its size."""
    targets = {target.kohya_name: target for target in _all_targets(base)}
    if not weights or not weights.keys() <= targets.keys():
        raise BadInput("This LoRA was made for another kind of base model.")
    for kohya_name, values in weights.items():
        out_features, in_features, *kernel_size = targets[kohya_name].weight_shape
        rank = values.down.shape[0]
        down_fits = tuple(values.down.shape) == (rank, in_features, *kernel_size)
        up_fits = tuple(values.up.shape) == (out_features, rank, *(1 for _ in kernel_size))
        if not (down_fits and up_fits):
            raise BadInput("This LoRA was made for a base model of another size.")


def _all_targets(base: BaseModel) -> Iterator[LoraTarget]:
    yield from base.unet_targets
    yield from base.text_encoder_targets
