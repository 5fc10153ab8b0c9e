"""LoRAs that were drawn with lately, ready on the card; several can be one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch

from gpu_worker.lora import file as lora_file
from gpu_worker.lora.file import LoraFile
from gpu_worker.lora.layers import Adapter, LoraMatrices, check_fit
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import LoraUse

#: A LoRA of rank 16 takes 18 MiB on the card; people draw several times with one and then not for long.
MAX_KEPT = 8


class LoraShelf:
    """Adapters by the files and strengths they are made of; the one not used for longest goes first."""

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._adapters: OrderedDict[tuple[object, ...], tuple[Adapter, tuple[str, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._adapters)

    def take(self, base: BaseModel, uses: Sequence[LoraUse]) -> tuple[Adapter | None, tuple[str, ...]]:
        """Return the adapter that has the effect of all uses together, and the short hash of each file.

        None without a LoRA. Raises BadInput when a file is damaged or does not fit the base model.
        """
        if not uses:
            return None, ()
        key = (base.name, base.dtype, *((use.sha256, use.strength) for use in uses))
        found = self._adapters.pop(key, None)
        if found is None:
            files = [lora_file.read(use.data) for use in uses]
            for file in files:
                check_fit(base, file.matrices)
            together = blend([(file, use.strength) for file, use in zip(files, uses, strict=True)])
            found = Adapter(base, together), tuple(file.short_hash for file in files)
        self._adapters[key] = found
        while len(self._adapters) > self._max_kept:
            self._adapters.popitem(last=False)
        return found

    def clear(self) -> None:
        """Let go of all of them."""
        self._adapters.clear()


def blend(files: Sequence[tuple[LoraFile, float]]) -> dict[str, LoraMatrices]:
    """Return one LoRA with the effect of several, each at its strength: their ranks side by side."""
    if len(files) == 1:
        file, strength = files[0]
        return {
            name: LoraMatrices(each.down, each.up, each.alpha * strength)
            for name, each in file.matrices.items()
        }
    names = dict.fromkeys(name for file, _ in files for name in file.matrices)
    return {
        name: _side_by_side([(file.matrices[name], by) for file, by in files if name in file.matrices])
        for name in names
    }


def _side_by_side(parts: Sequence[tuple[LoraMatrices, float]]) -> LoraMatrices:
    down = torch.cat([each.down for each, _ in parts])
    # Each part's own scale goes into its matrix, so that alpha over rank is 1 for the whole.
    up = torch.cat([each.up * (each.alpha / each.down.shape[0] * by) for each, by in parts], dim=1)
    return LoraMatrices(down, up, float(down.shape[0]))
