"""Adapters on the device that were used lately; several LoRAs can be merged into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from cachetools import LRUCache

from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.layers import Adapter, fit_weights, read_lora
from gpu_worker.lora.regional import RegionalAdapter
from gpu_worker.lora.weights import LoraWeights, ModuleWeights, SummedWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import LoraUse

#: A LoRA of rank 16 takes 18 MiB on the device. People use one several times, and then not for long.
MAX_ADAPTERS = 8


class AdapterCache:
    """Adapters by the files and strengths that they are made of; the least recently used is dropped first."""

    def __init__(self, max_adapters: int = MAX_ADAPTERS) -> None:
        self._adapters: LRUCache[tuple[object, ...], tuple[Adapter, tuple[str, ...]]] = LRUCache(max_adapters)

    def __len__(self) -> int:
        return len(self._adapters)

    def get(
        self, base: BaseModel, lora_uses: Sequence[LoraUse], people: tuple[int | None, ...] | None = None
    ) -> tuple[Adapter | None, tuple[str, ...]]:
        """Return the adapter of all LoRAs together, and the short hash of each file.

        With `people` each LoRA acts in the region of that number, or everywhere where it is None. The adapter
        is None if there is no LoRA. Raises BadInput if a file is damaged or does not fit.
        """
        if not lora_uses:
            return None, ()
        key = (base.name, base.dtype, people, *((use.sha256, use.strength) for use in lora_uses))
        entry = self._adapters.get(key)
        if entry is None:
            read_files = [read_lora(base, use.data) for use in lora_uses]
            files = [replace(file, weights=fit_weights(base, file.weights)) for file in read_files]
            merged_weights = merge_loras(
                [(file, use.strength) for file, use in zip(files, lora_uses, strict=True)]
            )
            adapter = (
                Adapter(base, merged_weights)
                if people is None
                else RegionalAdapter(base, merged_weights, [file.weights for file in files], people)
            )
            entry = adapter, tuple(file.short_hash for file in files)
            self._adapters[key] = entry
        return entry

    def clear(self) -> None:
        """Drop all adapters."""
        self._adapters.clear()


def merge_loras(files: Sequence[tuple[LoraFile, float]]) -> dict[str, ModuleWeights]:
    """Return one LoRA with the effect of several, each at its strength."""
    if len(files) == 1:
        file, strength = files[0]
        return {name: weights.scaled(strength) for name, weights in file.weights.items()}
    names = dict.fromkeys(name for file, _ in files for name in file.weights)
    return {
        name: _sum_weights(
            [(file.weights[name], strength) for file, strength in files if name in file.weights]
        )
        for name in names
    }


def _sum_weights(weighted_loras: Sequence[tuple[ModuleWeights, float]]) -> ModuleWeights:
    """Return the sum of a module's weights: one LoRA of all ranks where every one is a plain LoRA."""
    plain_loras = [
        (weights, strength)
        for weights, strength in weighted_loras
        if isinstance(weights, LoraWeights) and weights.mid is None
    ]
    if len(plain_loras) == len(weighted_loras):
        return _concat_ranks(plain_loras)
    return SummedWeights(tuple(weights.scaled(strength) for weights, strength in weighted_loras))


def _concat_ranks(weighted_loras: Sequence[tuple[LoraWeights, float]]) -> LoraWeights:
    down = torch.cat([weights.down for weights, _ in weighted_loras])
    # Each LoRA's own scale is multiplied into `up`, so that alpha / rank is 1 for the whole.
    up = torch.cat(
        [
            weights.up * (weights.alpha / weights.down.shape[0] * lora_strength)
            for weights, lora_strength in weighted_loras
        ],
        dim=1,
    )
    return LoraWeights(down, up, float(down.shape[0]))
