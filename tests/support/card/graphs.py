"""CUDA graphs of a played card: operations are recorded with their tensors, and done again in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.card.operations import tensors_of
from tests.support.card.tensors import CardTensor, PlayedCard


def build_graph_answers(card: PlayedCard) -> dict[str, Any]:
    """Return what takes the place of `torch.cuda.CUDAGraph` and `torch.cuda.graph`."""

    class CUDAGraph:
        """What was recorded; as on a card, it holds what it has allocated."""

        def __init__(self) -> None:
            self.calls: list[tuple[Callable[[], Any], Any]] = []

        def replay(self) -> None:
            card.replays += 1
            for call, outputs in self.calls:
                for place, computed in zip(tensors_of(outputs), tensors_of(call()), strict=True):
                    if isinstance(place, CardTensor) and isinstance(computed, CardTensor):
                        _write(place, computed)

    @contextlib.contextmanager
    def graph(recorded: CUDAGraph) -> Iterator[None]:
        card.recorded_calls = recorded.calls
        try:
            yield
        finally:
            card.recorded_calls = None

    return {"CUDAGraph": CUDAGraph, "graph": graph}


def _write(place: CardTensor, computed: CardTensor) -> None:
    if place.values.data_ptr() != computed.values.data_ptr():
        place.values.copy_(computed.values)
