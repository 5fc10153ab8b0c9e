"""LoRA adapters on the frozen base model.

Every module that a LoRA may adapt has a forward hook, which adds the output of the active LoRA's layer. So
the modules of the base model are never wrapped or changed, and switching to another LoRA sets a few hundred
references. Several adapters exist at once (a training and a generation, interleaved in one thread), so each
step activates its own first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.models.base import BaseModel
from gpu_worker.models.lora_hooks import LoraTarget


@dataclass(frozen=True)
class LoraWeights:
    """The fp32 matrices of one module, which becomes W + alpha / rank * up @ down, and its alpha."""

    down: Tensor
    up: Tensor
    alpha: float


@dataclass(frozen=True)
class DropoutRates:
    """What is dropped at random in a training step, as shares from 0 to 1; see `TrainingConfig`."""

    activations: float = 0.0
    rank: float = 0.0
    modules: float = 0.0

    @property
    def is_enabled(self) -> bool:
        """Whether anything is dropped."""
        return bool(self.activations or self.rank or self.modules)


def init_lora_weights(
    targets: tuple[LoraTarget, ...], rank: int, alpha: float, generator: torch.Generator
) -> dict[str, LoraWeights]:
    """Return the initial weights by kohya's name: `down` as kohya draws it, `up` zero: no effect yet."""
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
    """One LoRA on the base model. It has an effect while it is active."""

    def __init__(
        self,
        base: BaseModel,
        weights: Mapping[str, LoraWeights],
        is_trainable: bool = False,
        dropout_rates: DropoutRates | None = None,
    ) -> None:
        """Copy the weights to the base model's device; BadInput if they do not fit it.

        A trainable adapter keeps fp32 weights with gradients; others take the base model's dtype.
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
        """Make this the only active adapter."""
        lora_hooks = self._base.lora_hooks
        if lora_hooks.active_adapter is not self:
            for name, hook in lora_hooks.by_name.items():
                hook.active_delta = self._layers.get(name)
            lora_hooks.active_adapter = self

    def parameters(self, prefix: str = "") -> list[nn.Parameter]:
        """Return the parameters of the modules whose kohya name starts with a prefix."""
        return [
            matrix
            for name, layer in self._layers.items()
            if name.startswith(prefix)
            for matrix in (layer.down, layer.up)
        ]

    def copy_weights(self) -> dict[str, LoraWeights]:
        """Return fp32 copies of the weights on the CPU, by kohya's name."""
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
        """Whether any layer has dropout."""
        return any(layer.dropout is not None for layer in self._layers.values())

    def seed_dropout(self, seed: int) -> None:
        """Set the seed of the next step's dropout."""
        for layer in self._layers.values():
            if layer.dropout is not None:
                layer.dropout.seed = seed

    def get_layer(self, name: str) -> LoraLayer | None:
        """Return the layer of a module; None if it does not adapt that module."""
        return self._layers.get(name)

    def deactivate(self) -> None:
        """Stop its effect, if it is the active adapter."""
        if self._base.lora_hooks.active_adapter is self:
            deactivate_all(self._base)


class BatchedAdapters:
    """Several adapters at once, each on its own rows of a batch; None stands for no adapter."""

    def __init__(self, base: BaseModel, adapter_rows: Sequence[tuple[Adapter | None, int]]) -> None:
        """Take the adapters and their row counts, in the order of the batch."""
        self._base, self._adapter_rows = base, adapter_rows

    def activate(self) -> None:
        """Make each adapter active on its rows, and all others inactive."""
        lora_hooks = self._base.lora_hooks
        row_counts = [count for _, count in self._adapter_rows]
        for name, hook in lora_hooks.by_name.items():
            layers = [adapter.get_layer(name) if adapter else None for adapter, _ in self._adapter_rows]
            hook.active_delta = BatchedLayers(layers, row_counts) if any(layers) else None
        lora_hooks.active_adapter = self


def deactivate_all(base: BaseModel) -> None:
    """Make the base model run without any adapter."""
    if base.lora_hooks.active_adapter is not None:
        for hook in base.lora_hooks.by_name.values():
            hook.active_delta = None
        base.lora_hooks.active_adapter = None


class BatchedLayers:
    """The layers of several adapters at one module."""

    def __init__(self, layers: Sequence[LoraLayer | None], row_counts: Sequence[int]) -> None:
        self._layers, self._row_counts = layers, list(row_counts)

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output, with each layer's output added to its rows."""
        input_rows, output_rows = torch.split(inputs, self._row_counts), torch.split(output, self._row_counts)
        row_groups = zip(self._layers, input_rows, output_rows, strict=True)
        return torch.cat(
            [
                row_output if layer is None else layer.add(module, row_inputs, row_output)
                for layer, row_inputs, row_output in row_groups
            ]
        )


class LoraLayer:
    """The LoRA of one module: its parameters on the device."""

    def __init__(
        self, base: BaseModel, values: LoraWeights, is_trainable: bool, dropout: LoraDropout | None
    ) -> None:
        dtype = torch.float32 if is_trainable else base.dtype
        down = values.down.to(base.device, dtype, copy=True)
        up = values.up.to(base.device, dtype, copy=True)
        self.down = nn.Parameter(down, requires_grad=is_trainable)
        self.up = nn.Parameter(up, requires_grad=is_trainable)
        self.alpha = values.alpha
        self.scale = values.alpha / values.down.shape[0]
        self.dropout = dropout

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus the LoRA's output."""
        if self.dropout is not None and self.dropout.should_skip_module():
            return output
        # Computed in the dtype of the frozen weights, as under autocast; the parameters stay fp32.
        down, up = self.down.to(inputs.dtype), self.up.to(inputs.dtype)
        if isinstance(module, nn.Conv2d):
            hidden_states = F.conv2d(inputs, down, None, module.stride, module.padding)
            if self.dropout is not None:
                hidden_states = self.dropout.apply(hidden_states, channel_dim=1)
            return output + F.conv2d(hidden_states, up * self.scale)
        hidden_states = F.linear(inputs, down)
        if self.dropout is not None:
            hidden_states = self.dropout.apply(hidden_states, channel_dim=-1)
        # Product and sum in one pass over the output. In place only without gradients: otherwise autograd
        # would copy whole gradients.
        rows = output.view(-1, output.shape[-1])
        hidden_states = hidden_states.view(-1, hidden_states.shape[-1])
        if torch.is_grad_enabled():
            return rows.addmm(hidden_states, up.t(), alpha=self.scale).view(output.shape)
        rows.addmm_(hidden_states, up.t(), alpha=self.scale)
        return output


class LoraDropout:
    """Dropout of one layer, a function of seed and layer: gradient checkpointing draws the same again."""

    def __init__(self, rates: DropoutRates, index: int) -> None:
        self._rates, self._index = rates, index
        self.seed = 0

    def should_skip_module(self) -> bool:
        """Return True if the whole layer is dropped in this step."""
        return bool(
            torch.rand((), generator=self._create_generator(torch.device("cpu"))) < self._rates.modules
        )

    def apply(self, hidden_states: Tensor, channel_dim: int) -> Tensor:
        """Return activations with entries and ranks dropped, and the rest scaled to keep the mean."""
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
    """Raise BadInput if a module of the LoRA is not in the base model, or has another size."""
    targets = {target.kohya_name: target for target in _all_targets(base)}
    if not weights or not weights.keys() <= targets.keys():
        raise BadInput(JobProblem.LORA_OTHER_KIND)
    for kohya_name, values in weights.items():
        out_features, in_features, *kernel_size = targets[kohya_name].weight_shape
        rank = values.down.shape[0]
        down_fits = tuple(values.down.shape) == (rank, in_features, *kernel_size)
        up_fits = tuple(values.up.shape) == (out_features, rank, *(1 for _ in kernel_size))
        if not (down_fits and up_fits):
            raise BadInput(JobProblem.LORA_OTHER_SIZE)


def _all_targets(base: BaseModel) -> Iterator[LoraTarget]:
    yield from base.unet_targets
    yield from base.text_encoder_targets
