"""LoRA adapters on the frozen base model.

Every module that a LoRA may adapt has a forward hook, which adds the output of the active LoRA's layer. So
the modules of the base model are never wrapped or changed, and switching to another LoRA sets a few hundred
references. Several adapters exist at once (a training and a generation, interleaved in one thread), so each
step activates its own first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from gpu_worker.errors import BadInput, JobProblem
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.dropout import DropoutRates, LayerDropout
from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.module_layers import build_layer
from gpu_worker.lora.parameters import LayerParameters, cast_for_step
from gpu_worker.lora.weights import ModuleWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.regions import RegionState
from gpu_worker.models.lora_hooks import LoraDelta, list_fused_names


class Adapter:
    """One LoRA on the base model. It has an effect while it is active."""

    def __init__(
        self,
        base: BaseModel,
        weights: Mapping[str, ModuleWeights],
        is_trainable: bool = False,
        dropout_rates: DropoutRates | None = None,
    ) -> None:
        """Copy the weights to the base model's device; BadInput if they do not fit it.

        A trainable adapter keeps fp32 weights with gradients; others take the base model's dtype.
        """
        weights = fit_weights(base, weights)
        self._base = base
        self._layers = {
            name: build_layer(
                values,
                base.device,
                base.dtype,
                is_trainable,
                LayerDropout(dropout_rates, index) if dropout_rates and dropout_rates.is_enabled else None,
            )
            for index, (name, values) in enumerate(weights.items())
        }
        self._deltas: Mapping[str, LoraDelta] = self._layers

    def activate(self) -> None:
        """Make this the only active adapter."""
        lora_hooks = self._base.lora_hooks
        if lora_hooks.active_adapter is not self:
            for name, hook in lora_hooks.by_name.items():
                hook.active_delta = self._deltas.get(name)
            lora_hooks.active_adapter = self

    @property
    def module_names(self) -> tuple[str, ...]:
        """Return kohya's names of the adapted modules, those of the UNet first in a new LoRA."""
        return tuple(self._layers)

    def parameters(self, module_name: str | None = None) -> list[nn.Parameter]:
        """Return the parameters of one module, or of all."""
        layers = self._layers.values() if module_name is None else (self._layers[module_name],)
        return [parameter for layer in layers for parameter in layer.parameters()]

    def copy_weights(self) -> dict[str, ModuleWeights]:
        """Return fp32 copies of the weights on the CPU, by kohya's name."""
        return {name: layer.copy_weights() for name, layer in self._layers.items()}

    def limit_norms(self, max_norm: float) -> None:
        """Scale every module's weights so that the norm of their effect is at most so large."""
        for layer in self._layers.values():
            layer.limit_norm(max_norm)

    def cast_for_step(self) -> AbstractContextManager[None]:
        """Have the trained weights in the frozen weights' dtype inside, for one forward and backward pass."""
        layers = [layer for layer in self._layers.values() if isinstance(layer, LayerParameters)]
        return cast_for_step(layers, self._base.dtype)

    @property
    def has_dropout(self) -> bool:
        """Whether any layer has dropout."""
        return any(layer.dropout is not None for layer in self._layers.values())

    def seed_dropout(self, seed: int) -> None:
        """Set the seed of the next step's dropout."""
        for layer in self._layers.values():
            if layer.dropout is not None:
                layer.dropout.seed = seed

    def get_layer(self, name: str) -> LoraDelta | None:
        """Return the layer of a module; None if it does not adapt that module."""
        return self._deltas.get(name)

    def deactivate(self) -> None:
        """Stop its effect, if it is the active adapter."""
        if self._base.lora_hooks.active_adapter is self:
            deactivate_all(self._base)


class StackedAdapter:
    """Several adapters at once on the same rows, as peft's weighted sum of them; their layers are shared."""

    def __init__(self, base: BaseModel, adapters: Sequence[Adapter]) -> None:
        """Take the adapters, whose strengths are in their weights."""
        self._base = base
        names = dict.fromkeys(name for adapter in adapters for name in adapter.module_names)
        layers = {name: [adapter.get_layer(name) for adapter in adapters] for name in names}
        self._layers = {
            name: StackedLayers([layer for layer in stack if layer]) for name, stack in layers.items()
        }

    def activate(self) -> None:
        """Make these the only active adapters."""
        lora_hooks = self._base.lora_hooks
        if lora_hooks.active_adapter is not self:
            for name, hook in lora_hooks.by_name.items():
                hook.active_delta = self._layers.get(name)
            lora_hooks.active_adapter = self

    @property
    def module_names(self) -> tuple[str, ...]:
        """Return kohya's names of the adapted modules."""
        return tuple(self._layers)

    def get_layer(self, name: str) -> StackedLayers | None:
        """Return the layers of a module; None if none adapts that module."""
        return self._layers.get(name)


#: What a picture is drawn with.
AnyAdapter: TypeAlias = Adapter | StackedAdapter


def read_lora(base: BaseModel, data: bytes) -> LoraFile:
    """Read the bytes of a LoRA file, with the base model's names of modules; BadInput if it is not for it."""
    file = lora_file.read(data, base.family.architecture)
    weights = lora_file.split_fused(file.weights, list_fused_names(tuple(base.targets_by_name.values())))
    return replace(file, weights=base.resolve_names(weights))


def write_lora(
    base: BaseModel, weights: Mapping[str, ModuleWeights], metadata: Mapping[str, str], precision: str
) -> bytes:
    """Return the bytes of a LoRA file, with the names of the base model's world; BadInput as `write`."""
    if not any(group.file_names for group in base.family.lora_groups):
        return lora_file.write(weights, metadata, precision)
    return lora_file.write_tensors(
        lora_file.to_native_tensors(base.targets_by_name, weights), metadata, precision
    )


class BatchedAdapters:
    """Several adapters at once, each on its own rows of a batch; None stands for no adapter."""

    def __init__(self, base: BaseModel, adapter_rows: Sequence[tuple[AnyAdapter | None, int]]) -> None:
        """Take the adapters and their row counts, in the order of the batch."""
        self._base, self._adapter_rows = base, adapter_rows

    def activate(self) -> None:
        """Make each adapter active on its rows, and all others inactive."""
        lora_hooks = self._base.lora_hooks
        row_counts = [count for _, count in self._adapter_rows]
        for name, hook in lora_hooks.by_name.items():
            layers = [adapter.get_layer(name) if adapter else None for adapter, _ in self._adapter_rows]
            hook.active_delta = BatchedLayers(layers, row_counts, self._base.regions) if any(layers) else None
        lora_hooks.active_adapter = self


def deactivate_all(base: BaseModel) -> None:
    """Make the base model run without any adapter."""
    if base.lora_hooks.active_adapter is not None:
        for hook in base.lora_hooks.by_name.values():
            hook.active_delta = None
        base.lora_hooks.active_adapter = None


class StackedLayers:
    """The layers of several adapters at one module, each for all rows."""

    def __init__(self, layers: Sequence[LoraDelta]) -> None:
        self._layers = layers

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output with each layer's output added."""
        for layer in self._layers:
            output = layer.add(module, inputs, output)
        return output


class BatchedLayers:
    """The layers of several adapters at one module, each for its own rows."""

    def __init__(
        self, layers: Sequence[LoraDelta | None], row_counts: Sequence[int], regions: RegionState
    ) -> None:
        self._layers, self._row_counts, self._regions = layers, list(row_counts), regions

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output, with each layer's output added to its rows."""
        input_rows, output_rows = torch.split(inputs, self._row_counts), torch.split(output, self._row_counts)
        rows, start = [], 0
        for layer, row_inputs, row_output in zip(self._layers, input_rows, output_rows, strict=True):
            with self._regions.select_rows(start, start + len(row_output)):
                rows.append(row_output if layer is None else layer.add(module, row_inputs, row_output))
            start += len(row_output)
        return torch.cat(rows)


def fit_weights(base: BaseModel, weights: Mapping[str, ModuleWeights]) -> dict[str, ModuleWeights]:
    """Return weights in the shapes for the base model's modules.

    Raises BadInput if a module of the LoRA is not in the base model, or has another size.
    """
    targets = base.targets_by_name
    if not weights or not weights.keys() <= targets.keys():
        raise BadInput(JobProblem.LORA_OTHER_KIND)
    fitted = {name: values.fit(targets[name].weight_shape) for name, values in weights.items()}
    known = {name: values for name, values in fitted.items() if values is not None}
    if len(known) < len(fitted):
        raise BadInput(JobProblem.LORA_OTHER_SIZE)
    return known
