"""Several people's LoRAs as one adapter, of which each acts in the region of its person alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gpu_worker.lora.layers import Adapter
from gpu_worker.lora.module_layers import LoraLayer, ModuleLayer, SummedLayer
from gpu_worker.lora.weights import ModuleWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.inputs.regions import Owners, Regions, RegionState


class RegionalAdapter(Adapter):
    """An adapter of several LoRAs. Without regions in a pass it is their mixture."""

    def __init__(
        self,
        base: BaseModel,
        merged_weights: Mapping[str, ModuleWeights],
        weights_by_lora: Sequence[Mapping[str, ModuleWeights]],
        people: Sequence[int | None],
    ) -> None:
        """Take the merged weights, what they were merged from, and which region each LoRA has."""
        super().__init__(base, merged_weights)
        self._deltas = {
            name: RegionalLayer(
                layer,
                tuple(
                    (person, weights[name].rank or 0)
                    for person, weights in zip(people, weights_by_lora, strict=True)
                    if name in weights
                ),
                base.regions,
                base.targets_by_name[name].reads_text,
            )
            for name, layer in self._layers.items()
        }


class RegionalLayer:
    """The layer of one module: ranks of a person's LoRA are masked outside of the person's region."""

    def __init__(self, layer: ModuleLayer, owners: Owners, state: RegionState, reads_text: bool) -> None:
        self._layer, self._owners, self._state, self._reads_text = layer, owners, state, reads_text

    def add(self, module: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
        """Return the module's output plus each LoRA's output in its region."""
        regions = self._state.current
        if regions is None or output.dim() == 2:  # a vector of the whole picture, as of the timestep
            return self._layer.add(module, inputs, output)
        if isinstance(self._layer, LoraLayer):
            return self._layer.add(module, inputs, output, self._build_mask(regions, output, self._owners))
        parts = self._layer.parts if isinstance(self._layer, SummedLayer) else [self._layer]
        for part, (person, _) in zip(parts, self._owners, strict=True):
            mask = self._build_mask(regions, output, ((person, 1),))
            delta = part.add(module, inputs, torch.zeros_like(output))
            output = output + (delta if mask is None else delta * mask)
        return output

    def _build_mask(self, regions: Regions, output: Tensor, owners: Owners) -> Tensor | None:
        if self._reads_text:
            return regions.mask_words(output.shape[1], owners, output.dtype)
        if output.dim() == 4:
            return regions.mask_pixels((output.shape[2], output.shape[3]), owners, output.dtype)
        return regions.mask_tokens(output.shape[1], owners, output.dtype)
