"""Adapters on the device that were used lately; several LoRAs can be merged into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from cachetools import LRUCache

from gpu_worker.lora import file as lora_file
from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.layers import Adapter, LoraWeights, check_fit
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

    def get(self, base: BaseModel, lora_uses: Sequence[LoraUse]) -> tuple[Adapter | None, tuple[str, ...]]:
        """Return the adapter of all LoRAs together, and the short hash of each file.

        The adapter is None if there is no LoRA. Raises BadInput if a file is damaged or does not fit.
        """
        if not lora_uses:
            return None, ()
        key = (base.name, base.dtype, *((use.sha256, use.strength) for use in lora_uses))
        entry = self._adapters.get(key)
        if entry is None:
            files = [lora_file.read(use.data) for use in lora_uses]
            for file in files:
                check_fit(base, file.weights)
            merged_weights = merge_loras(
                [(file, use.strength) for file, use in zip(files, lora_uses, strict=True)]
            )
            entry = Adapter(base, merged_weights), tuple(file.short_hash for file in files)
            self._adapters[key] = entry
        return entry

    def clear(self) -> None:
        """Drop all adapters."""
        self._adapters.clear()


def merge_loras(files: Sequence[tuple[LoraFile, float]]) -> dict[str, LoraWeights]:
    """Return one LoRA with the effect of several, each at its strength, by concatenating their ranks."""
    if len(files) == 1:
        file, strength = files[0]
        return {
            name: LoraWeights(weights.down, weights.up, weights.alpha * strength)
            for name, weights in file.weights.items()
        }
    names = dict.fromkeys(name for file, _ in files for name in file.weights)
    return {
        name: _concat_ranks(
            [(file.weights[name], lora_strength) for file, lora_strength in files if name in file.weights]
        )
        for name in names
    }


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
