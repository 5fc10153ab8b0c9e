"""How a base model's frozen weights are stored between their uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.device.placement import empty_cache
from gpu_worker.memory.quantized_layers import store_components
from gpu_worker.memory.streaming import BlockStream, CardTransport, Transport, stream_blocks


class WeightStore:
    """Rounds the layers of components where they are, and lets blocks wait in system memory."""

    def __init__(
        self,
        components: Mapping[str, Any],
        wide_paths: Sequence[str],
        block_classes: Sequence[str],
        create_transport: Callable[[torch.device], Transport] = CardTransport,
    ) -> None:
        """`wide_paths` stay as they are; blocks of `block_classes` can be streamed."""
        self._components, self._wide_paths, self._block_classes = components, wide_paths, block_classes
        self._create_transport = create_transport
        self._streams: dict[str, BlockStream] = {}
        self._streamed: tuple[WeightStorage, int] | None = None

    def store(self, storage: WeightStorage, streamed_blocks: int, device: torch.device) -> None:
        """Store what is not stored so yet, and stream as many blocks as asked for.

        If memory runs out on the way, what was rounded stays so, and a second call does the rest.
        """
        wanted = storage, streamed_blocks
        if self._streamed not in (None, wanted):
            for name in self._streams:
                self.release(name)
        store_components(self._components, storage, self._wide_paths)
        if device.type != "cuda" or not streamed_blocks or self._streamed == wanted:
            return
        for name, component in self._components.items():
            transport = self._create_transport(device)
            stream = stream_blocks(component, self._block_classes, streamed_blocks, transport)
            if stream is not None:
                self._streams[name] = stream
        self._streamed = wanted
        empty_cache()

    def release(self, name: str) -> None:
        """Let the streamed blocks of a component leave the card, as it does."""
        if name in self._streams:
            self._streams[name].release()
