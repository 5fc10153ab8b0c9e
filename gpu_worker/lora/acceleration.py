"""The acceleration LoRA of a base model: active in fast pictures, beside the LoRA of a person or alone.

Its layers are on the device once, whoever is drawn. A training never sees it.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from gpu_worker.errors import BadInput
from gpu_worker.lora.file import SHORT_HASH, compute_hashes
from gpu_worker.lora.layers import Adapter, AnyAdapter, StackedAdapter, read_lora
from gpu_worker.models.base import BaseModel
from gpu_worker.models.sources.acceleration import AccelerationError, AccelerationSource


class Acceleration:
    """An acceleration LoRA that fits a base model, with its recipe."""

    def __init__(self, base: BaseModel, source: AccelerationSource) -> None:
        """Read the file; AccelerationError if it is damaged or does not fit."""
        self._base, self._path = base, source.path
        self.name, self.recipe = source.name, source.recipe
        try:
            self._adapter: Adapter | None = self._read_adapter()
            self.short_hash = compute_hashes(source.path.read_bytes())["sshs_model_hash"][:SHORT_HASH]
        except (OSError, BadInput) as error:
            raise AccelerationError(f"{source.path.name} is not usable: {error}") from error
        self._dtype = base.dtype
        self._stacks: WeakKeyDictionary[Adapter, StackedAdapter] = WeakKeyDictionary()

    def _read_adapter(self) -> Adapter:
        # Read again for another precision: some are a gigabyte, too much to keep for what is rare.
        return Adapter(self._base, read_lora(self._base, self._path.read_bytes()).weights)

    def stack_on(self, adapter: Adapter | None) -> AnyAdapter:
        """Return an adapter with the effect of both, in the base model's precision; None is no other LoRA."""
        if self._adapter is None or self._dtype is not self._base.dtype:
            self._adapter, self._dtype = self._read_adapter(), self._base.dtype
            self._stacks.clear()
        if adapter is None:
            return self._adapter
        if adapter not in self._stacks:
            self._stacks[adapter] = StackedAdapter(self._base, (adapter, self._adapter))
        return self._stacks[adapter]

    def clear(self) -> None:
        """Drop what is on the device; it is made again for the next fast picture."""
        self._adapter = None
        self._stacks.clear()
